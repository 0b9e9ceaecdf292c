/* Rows in columns as Consul's commands print them: as wide as the widest cell, two blanks between.
 *
 * Limits   TABLE_COLUMNS_MAX columns; a cell is cut at TABLE_CELL_LEN bytes.
 * Threads  the main thread.
 */
#ifndef CORE_CLI_TABLE_H
#define CORE_CLI_TABLE_H

#include <stddef.h>

#define TABLE_COLUMNS_MAX 8
#define TABLE_CELL_LEN    1024

struct table_row {
    char cells[TABLE_COLUMNS_MAX][TABLE_CELL_LEN];
};

/* On standard output; the last column has no blanks behind it. */
void table_print(const struct table_row *rows, size_t count, size_t columns);

#endif
