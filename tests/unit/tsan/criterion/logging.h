/* Criterion's own header of this name: everything is in the other. */
#include <criterion/criterion.h>
