#include "core/config.h"
#include "core/server.h"
#include <stdio.h>
int main(int argc, char **argv)
{
    struct config *c;
    struct reason why;
    if (config_load(argc - 2, argv + 2, &c, &why) != OK) {
        fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    return server_main(c);
}
