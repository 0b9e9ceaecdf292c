/* The program: what its arguments say is in core/cli. */
#include "core/cli/cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
