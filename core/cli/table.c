#include "core/cli/table.h"

#include <stdio.h>
#include <string.h>

void table_print(const struct table_row *rows, size_t count, size_t columns)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < columns; j++) {
            size_t len = strlen(rows[i].cells[j]);
            widths[j] = len > widths[j] ? len : widths[j];
        }
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j + 1 < columns; j++) {
            (void)printf("%-*s  ", (int)widths[j], rows[i].cells[j]);
        }
        (void)printf("%s\n", rows[i].cells[columns - 1]);
    }
}
