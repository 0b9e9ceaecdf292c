#include "core/base/pattern_priv.h"

#include <string.h>

#define CHAR_MAX_UNICODE 0x10ffff

/* A group that is open: its alternatives so far, and the one being read. */
struct group {
    int32_t start;
    int32_t branch; /* where the alternative being read begins; `start`: it is the first */
    bool alternatives;
    bool fold; /* (?i) */
    bool all;  /* (?s): . is a newline too */
    bool lines;
};

struct parse {
    struct pattern *p;
    struct bytes text;
    size_t at;
    struct group groups[PATTERN_DEPTH_MAX];
    size_t depth;
    int32_t atom; /* the first step of what a repetition would repeat; -1: nothing */
    bool repeated;
    size_t repeat_at; /* where that repetition was said */
    struct reason *why;
};

static enum err parse_fail(struct parse *s, const char *what, struct bytes where)
{
    reason_set(s->why, "error parsing regexp: %s: `%.*s`", what,
               (int)(where.len > 100 ? 100 : where.len), where.ptr);
    return ERR_INVALID;
}

static enum err parse_too_big(struct parse *s)
{
    reason_set(s->why, "error parsing regexp: expression is too large, at most %u steps",
               PATTERN_STEPS_MAX);
    return ERR_TOO_BIG;
}

static struct group *group_now(struct parse *s)
{
    return &s->groups[s->depth];
}

/* --- steps ----------------------------------------------------------------------------------- */

/* Room for one more at `at`; what follows moves along. */
static bool step_insert(struct parse *s, int32_t at, struct step step)
{
    struct pattern *p = s->p;
    if (p->count >= (int32_t)PATTERN_STEPS_MAX) {
        return false;
    }
    memmove(&p->steps[at + 1], &p->steps[at], (size_t)(p->count - at) * sizeof p->steps[0]);
    p->steps[at] = step;
    p->count++;
    return true;
}

static bool step_add(struct parse *s, struct step step)
{
    return step_insert(s, s->p->count, step);
}

/* Appends a copy of `len` steps from `from`. */
static bool step_copy(struct parse *s, int32_t from, int32_t len)
{
    for (int32_t i = 0; i < len; i++) {
        if (!step_add(s, s->p->steps[from + i])) {
            return false;
        }
    }
    return true;
}

static bool range_add(struct parse *s, int32_t from, int32_t to)
{
    struct pattern *p = s->p;
    if (p->range_count == (int32_t)PATTERN_RANGES_MAX) {
        return false;
    }
    p->ranges[p->range_count++] = (struct range){from, to};
    return true;
}

/* The part of a range that is letters, in the other case. */
static bool range_fold(struct parse *s, int32_t from, int32_t to)
{
    static const int32_t cases[][2] = {{'a', 'A'}, {'A', 'a'}};
    for (size_t i = 0; i < 2; i++) {
        int32_t low = from > cases[i][0] ? from : cases[i][0];
        int32_t high = to < cases[i][0] + 25 ? to : cases[i][0] + 25;
        int32_t shift = cases[i][1] - cases[i][0];
        if (low <= high && !range_add(s, low + shift, high + shift)) {
            return false;
        }
    }
    return true;
}

/* One that stands for itself. */
static enum err atom_char(struct parse *s, int32_t c)
{
    struct pattern *p = s->p;
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    s->atom = p->count;
    if (!group_now(s)->fold || !letter) {
        return step_add(s, (struct step){STEP_RANGE, false, c, c}) ? OK : parse_too_big(s);
    }
    int32_t first = p->range_count;
    bool room = range_add(s, c, c) && range_fold(s, c, c) &&
                step_add(s, (struct step){STEP_CLASS, false, first, p->range_count - first});
    return room ? OK : parse_too_big(s);
}

/* --- classes --------------------------------------------------------------------------------- */

/* Named classes as pairs of ends. */
static const struct {
    const char *name;
    const char *ends;
} CLASSES[] = {
    {"d", "09"},
    {"w", "azAZ09__"},
    {"s", "\t\n\f\r  "},
    {"[:alnum:]", "azAZ09"},
    {"[:alpha:]", "azAZ"},
    {"[:blank:]", "  \t\t"},
    {"[:cntrl:]", "\x01\x1f\x7f\x7f"},
    {"[:digit:]", "09"},
    {"[:graph:]", "!~"},
    {"[:lower:]", "az"},
    {"[:print:]", " ~"},
    {"[:punct:]", "!/:@[`{~"},
    {"[:space:]", "\t\r  "},
    {"[:upper:]", "AZ"},
    {"[:word:]", "azAZ09__"},
    {"[:xdigit:]", "09afAF"},
};

/* The ends of a named class, or NULL; `negated`: everything else is meant. */
static const char *class_named(struct bytes name, bool *ret_negated)
{
    char lower[16] = "";
    if (name.len == 0 || name.len >= sizeof lower) {
        return NULL;
    }
    memcpy(lower, name.ptr, name.len);
    *ret_negated = false;
    if (name.len == 1 && strchr("DWS", lower[0]) != NULL) {
        lower[0] = (char)(lower[0] | 0x20);
        *ret_negated = true;
    } else if (name.len > 3 && lower[2] == '^') {
        memmove(&lower[2], &lower[3], sizeof lower - 3);
        *ret_negated = true;
    }
    for (size_t i = 0; i < sizeof CLASSES / sizeof CLASSES[0]; i++) {
        if (strcmp(CLASSES[i].name, lower) == 0) {
            return CLASSES[i].ends;
        }
    }
    return NULL;
}

/* Its ranges, or those between them; the pairs of ends are put in order for that. */
static bool class_ranges(struct parse *s, const char *ends, bool negated)
{
    int32_t from = 0;
    size_t pairs = strlen(ends) / 2;
    if (!negated) {
        for (size_t i = 0; i < pairs; i++) {
            if (!range_add(s, (unsigned char)ends[2 * i], (unsigned char)ends[2 * i + 1])) {
                return false;
            }
        }
        return true;
    }
    while (from <= CHAR_MAX_UNICODE) {
        int32_t begin = CHAR_MAX_UNICODE + 1;
        int32_t end = CHAR_MAX_UNICODE;
        for (size_t i = 0; i < pairs; i++) {
            if (ends[2 * i] >= from && ends[2 * i] < begin) {
                begin = (unsigned char)ends[2 * i];
                end = (unsigned char)ends[2 * i + 1];
            }
        }
        if (begin > from && !range_add(s, from, begin - 1)) {
            return false;
        }
        from = end + 1;
    }
    return true;
}

/* The character that an escape at `s->at` (behind the backslash) stands for; `at` goes behind it.
 */
static enum err escape_char(struct parse *s, int32_t *ret_char)
{
    static const char letters[] = "afnrtv";
    static const char meant[] = "\a\f\n\r\t\v";
    size_t begin = s->at - 1;
    if (s->at >= s->text.len) {
        return parse_fail(s, "trailing backslash at end of expression", BYTES(""));
    }
    char c = s->text.ptr[s->at++];
    const char *letter = c != '\0' ? strchr(letters, c) : NULL;
    if (letter != NULL) {
        *ret_char = (unsigned char)meant[letter - letters];
        return OK;
    }
    if (c == 'x') {
        bool braces = s->at < s->text.len && s->text.ptr[s->at] == '{';
        int32_t value = 0;
        size_t digits = 0;
        s->at += braces;
        while (s->at < s->text.len && digits < (braces ? 6 : 2)) {
            const char *hex = "0123456789abcdef";
            char h = s->text.ptr[s->at];
            const char *found =
                h != '\0' ? strchr(hex, h | (h >= 'A' && h <= 'F' ? 0x20 : 0)) : NULL;
            if (found == NULL) {
                break;
            }
            value = value * 16 + (int32_t)(found - hex);
            digits++;
            s->at++;
        }
        bool closed = !braces || (s->at < s->text.len && s->text.ptr[s->at] == '}');
        s->at += braces && closed;
        if (closed && digits > 0 && value <= CHAR_MAX_UNICODE) {
            *ret_char = value;
            return OK;
        }
    } else if ((unsigned char)c < 0x80 && c > ' ' && strchr("_", c) == NULL &&
               !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))) {
        *ret_char = (unsigned char)c;
        return OK;
    }
    return parse_fail(s, "invalid escape sequence", bytes_slice(s->text, begin, s->at));
}

/* One end of a range inside of brackets. */
static enum err bracket_char(struct parse *s, int32_t *ret_char)
{
    size_t len = 0;
    if (s->text.ptr[s->at] == '\\') {
        s->at++;
        return escape_char(s, ret_char);
    }
    *ret_char = pattern_char(bytes_slice(s->text, s->at, s->text.len), &len);
    s->at += len;
    return OK;
}

/* `[:alpha:]` or `\d` inside of brackets; false: it is none. */
static bool bracket_named(struct parse *s, bool *ret_room)
{
    struct bytes rest = bytes_slice(s->text, s->at, s->text.len);
    struct bytes name = {0};
    size_t len = 0;
    bool negated = false;
    if (rest.len > 1 && rest.ptr[0] == '\\') {
        name = bytes_slice(rest, 1, 2);
        len = 2;
    } else if (bytes_begins(rest, BYTES("[:"))) {
        len = bytes_find(rest, ']') + 1;
        name = bytes_slice(rest, 0, len <= rest.len ? len : rest.len);
    }
    const char *ends = class_named(name, &negated);
    if (ends == NULL) {
        return false;
    }
    s->at += len;
    *ret_room = class_ranges(s, ends, negated);
    return true;
}

static enum err bracket_range(struct parse *s)
{
    int32_t from = 0;
    size_t at = s->at;
    enum err e = bracket_char(s, &from);
    int32_t to = from;
    bool is_range = e == OK && s->at + 1 < s->text.len && s->text.ptr[s->at] == '-' &&
                    s->text.ptr[s->at + 1] != ']';
    if (is_range) {
        s->at++;
        e = bracket_char(s, &to);
    }
    if (e != OK) {
        return e;
    }
    if (to < from) {
        return parse_fail(s, "invalid character class range", bytes_slice(s->text, at, s->at));
    }
    bool room = range_add(s, from, to) && (!group_now(s)->fold || range_fold(s, from, to));
    return room ? OK : parse_too_big(s);
}

/* Behind the opening bracket. */
static enum err atom_bracket(struct parse *s)
{
    struct pattern *p = s->p;
    size_t begin = s->at - 1;
    int32_t first = p->range_count;
    bool negated = s->at < s->text.len && s->text.ptr[s->at] == '^';
    s->at += negated;
    bool empty = true;
    while (s->at < s->text.len && (empty || s->text.ptr[s->at] != ']')) {
        bool room = true;
        enum err e = bracket_named(s, &room) ? (room ? OK : parse_too_big(s)) : bracket_range(s);
        if (e != OK) {
            return e;
        }
        empty = false;
    }
    if (s->at >= s->text.len) {
        return parse_fail(s, "missing closing ]", bytes_slice(s->text, begin, s->text.len));
    }
    s->at++;
    s->atom = p->count;
    return step_add(s, (struct step){STEP_CLASS, negated, first, p->range_count - first})
               ? OK
               : parse_too_big(s);
}

static enum err atom_assert(struct parse *s, enum assert_kind kind)
{
    s->atom = s->p->count;
    return step_add(s, (struct step){STEP_ASSERT, false, (int32_t)kind, 0}) ? OK : parse_too_big(s);
}

/* Behind the backslash. */
static enum err atom_escape(struct parse *s)
{
    bool negated = false;
    int32_t c = 0;
    if (s->at < s->text.len) {
        char letter = s->text.ptr[s->at];
        const char *ends = class_named(bytes_slice(s->text, s->at, s->at + 1), &negated);
        if (ends != NULL) {
            int32_t first = s->p->range_count;
            s->at++;
            s->atom = s->p->count;
            bool room =
                class_ranges(s, ends, negated) &&
                step_add(s, (struct step){STEP_CLASS, false, first, s->p->range_count - first});
            return room ? OK : parse_too_big(s);
        }
        const char *asserts = "AzbB";
        static const enum assert_kind kinds[] = {ASSERT_TEXT_BEGIN, ASSERT_TEXT_END, ASSERT_WORD,
                                                 ASSERT_NOT_WORD};
        const char *found = letter != '\0' ? strchr(asserts, letter) : NULL;
        if (found != NULL) {
            s->at++;
            return atom_assert(s, kinds[found - asserts]);
        }
    }
    enum err e = escape_char(s, &c);
    return e == OK ? atom_char(s, c) : e;
}

/* --- repetitions ------------------------------------------------------------------------------ */

/* The atom `least` to `most` times (-1: any number). */
static bool repeat(struct parse *s, int32_t least, int32_t most)
{
    struct pattern *p = s->p;
    int32_t atom = s->atom;
    int32_t len = p->count - atom;
    bool room = true;
    if (most == 0) {
        p->count = atom;
        return true;
    }
    /* As often as it must be, and as often as it may be besides. */
    for (int32_t i = 1; i < least && room; i++) {
        room = step_copy(s, atom, len);
    }
    if (most < 0 && least > 0) {
        return room && step_add(s, (struct step){STEP_SPLIT, false, -len, 1});
    }
    if (most < 0) {
        return step_insert(s, atom, (struct step){STEP_SPLIT, false, 1, len + 2}) &&
               step_add(s, (struct step){STEP_JUMP, false, -(len + 1), 0});
    }
    if (least == 0) {
        room = step_insert(s, atom, (struct step){STEP_SPLIT, false, 1, len + 1});
        atom++;
        least = 1;
    }
    for (int32_t i = least; i < most && room; i++) {
        room = step_add(s, (struct step){STEP_SPLIT, false, 1, len + 1}) && step_copy(s, atom, len);
    }
    return room;
}

/* More than the limit are all the same. */
static int32_t repeat_count(uint64_t count)
{
    return (int32_t)(count > PATTERN_REPEAT_MAX ? PATTERN_REPEAT_MAX + 1 : count);
}

/* `{2}`, `{2,}`, `{2,5}` at `s->at`; false: it is none, and stands for itself. */
static bool repeat_counts(struct parse *s, int32_t *ret_least, int32_t *ret_most)
{
    struct bytes rest = bytes_slice(s->text, s->at, s->text.len);
    size_t end = bytes_find(rest, '}');
    if (end == rest.len || end < 2) {
        return false;
    }
    struct bytes inside = bytes_slice(rest, 1, end);
    size_t comma = bytes_find(inside, ',');
    uint64_t least = 0;
    uint64_t most = 0;
    bool open = comma + 1 == inside.len;
    if (bytes_to_u64(bytes_slice(inside, 0, comma), &least) != OK) {
        return false;
    }
    most = least;
    if (comma < inside.len && !open &&
        bytes_to_u64(bytes_slice(inside, comma + 1, inside.len), &most) != OK) {
        return false;
    }
    s->at += end + 1;
    *ret_least = repeat_count(least);
    *ret_most = open ? -1 : repeat_count(most);
    return true;
}

/* At one of * + ? {; false: it is no repetition. */
static bool parse_repeat(struct parse *s, enum err *ret_err)
{
    size_t begin = s->at;
    char c = s->text.ptr[s->at];
    int32_t least = c == '+' ? 1 : 0;
    int32_t most = c == '?' ? 1 : -1;
    if (c == '{') {
        if (!repeat_counts(s, &least, &most)) {
            return false;
        }
    } else {
        s->at++;
    }
    if (s->at < s->text.len && s->text.ptr[s->at] == '?') {
        s->at++; /* lazy: it finds the same */
    }
    struct bytes said = bytes_slice(s->text, begin, s->at);
    if (s->atom < 0) {
        *ret_err = parse_fail(s, "missing argument to repetition operator", said);
    } else if (s->repeated) {
        *ret_err = parse_fail(s, "invalid nested repetition operator",
                              bytes_slice(s->text, s->repeat_at, s->at));
    } else if (least > (int32_t)PATTERN_REPEAT_MAX || most > (int32_t)PATTERN_REPEAT_MAX ||
               (most >= 0 && most < least)) {
        *ret_err = parse_fail(s, "invalid repeat count", said);
    } else {
        *ret_err = repeat(s, least, most) ? OK : parse_too_big(s);
        s->repeated = true;
        s->repeat_at = begin;
    }
    return true;
}

/* --- groups ---------------------------------------------------------------------------------- */

/* Joins the alternatives before with the one that was just read. */
static bool group_join(struct parse *s)
{
    struct group *g = group_now(s);
    struct pattern *p = s->p;
    if (!g->alternatives) {
        return true;
    }
    int32_t first = g->branch - g->start;
    int32_t second = p->count - g->branch;
    return step_insert(s, g->start, (struct step){STEP_SPLIT, false, 1, first + 2}) &&
           step_insert(s, g->branch + 1, (struct step){STEP_JUMP, false, second + 1, 0});
}

static enum err parse_alternative(struct parse *s)
{
    struct group *g = group_now(s);
    if (!group_join(s)) {
        return parse_too_big(s);
    }
    g->alternatives = true;
    g->branch = s->p->count;
    s->atom = -1;
    return OK;
}

/* `(?i)`, `(?i:`, `(?:`, `(?P<name>`: behind the question mark. */
static enum err group_flags(struct parse *s, struct group *g, bool *ret_opens)
{
    size_t begin = s->at - 2;
    bool on = true;
    struct bytes rest = bytes_slice(s->text, s->at, s->text.len);
    *ret_opens = true;
    if (bytes_begins(rest, BYTES("P<"))) {
        size_t end = bytes_find(rest, '>');
        if (end == rest.len) {
            return parse_fail(s, "invalid named capture", bytes_slice(s->text, begin, s->text.len));
        }
        s->at += end + 1;
        return OK;
    }
    while (s->at < s->text.len) {
        char c = s->text.ptr[s->at++];
        if (c == ':' || c == ')') {
            *ret_opens = c == ':';
            return OK;
        }
        if (c == 'i') {
            g->fold = on;
        } else if (c == 's') {
            g->all = on;
        } else if (c == 'm') {
            g->lines = on;
        } else if (c == '-' && on) {
            on = false;
        } else if (c != 'U') {
            return parse_fail(s, "invalid or unsupported Perl syntax",
                              bytes_slice(s->text, begin, s->at));
        }
    }
    return parse_fail(s, "missing closing )", s->text);
}

/* Behind the opening parenthesis. */
static enum err parse_open(struct parse *s)
{
    struct group inner = *group_now(s);
    bool opens = true;
    if (s->at < s->text.len && s->text.ptr[s->at] == '?') {
        s->at++;
        enum err e = group_flags(s, &inner, &opens);
        if (e != OK) {
            return e;
        }
    }
    if (!opens) {
        struct group *g = group_now(s);
        g->fold = inner.fold;
        g->all = inner.all;
        g->lines = inner.lines;
        s->atom = -1;
        return OK;
    }
    if (s->depth + 1 == PATTERN_DEPTH_MAX) {
        return parse_fail(s, "expression nests too deeply", s->text);
    }
    inner.start = inner.branch = s->p->count;
    inner.alternatives = false;
    s->groups[++s->depth] = inner;
    s->atom = -1;
    return OK;
}

static enum err parse_close(struct parse *s)
{
    if (s->depth == 0) {
        return parse_fail(s, "unexpected )", s->text);
    }
    if (!group_join(s)) {
        return parse_too_big(s);
    }
    s->atom = group_now(s)->start;
    s->depth--;
    return OK;
}

static enum err atom_any(struct parse *s)
{
    int32_t first = s->p->range_count;
    s->atom = s->p->count;
    if (group_now(s)->all) {
        return step_add(s, (struct step){STEP_RANGE, false, 0, CHAR_MAX_UNICODE})
                   ? OK
                   : parse_too_big(s);
    }
    bool room = range_add(s, '\n', '\n') &&
                step_add(s, (struct step){STEP_CLASS, true, first, s->p->range_count - first});
    return room ? OK : parse_too_big(s);
}

static enum err parse_step(struct parse *s)
{
    size_t len = 0;
    int32_t c = pattern_char(bytes_slice(s->text, s->at, s->text.len), &len);
    enum err e = OK;
    if (c < 0x80 && c > 0 && strchr("*+?{", c) != NULL && parse_repeat(s, &e)) {
        return e;
    }
    s->repeated = false;
    s->at += len;
    switch (c) {
    case '(':
        return parse_open(s);
    case ')':
        return parse_close(s);
    case '|':
        return parse_alternative(s);
    case '[':
        return atom_bracket(s);
    case '\\':
        return atom_escape(s);
    case '.':
        return atom_any(s);
    case '^':
        return atom_assert(s, group_now(s)->lines ? ASSERT_LINE_BEGIN : ASSERT_TEXT_BEGIN);
    case '$':
        return atom_assert(s, group_now(s)->lines ? ASSERT_LINE_END : ASSERT_TEXT_END);
    default:
        return atom_char(s, c);
    }
}

enum err pattern_parse(struct pattern *p, struct bytes text, struct reason *why)
{
    struct parse s = {.p = p, .text = text, .atom = -1, .why = why};
    enum err e = OK;
    if (text.len > PATTERN_TEXT_MAX) {
        reason_set(why, "error parsing regexp: expression is longer than %u bytes",
                   PATTERN_TEXT_MAX);
        return ERR_TOO_BIG;
    }
    while (e == OK && s.at < text.len) {
        e = parse_step(&s);
    }
    if (e == OK && s.depth > 0) {
        e = parse_fail(&s, "missing closing )", text);
    }
    if (e == OK && !group_join(&s)) {
        e = parse_too_big(&s);
    }
    p->steps[p->count] = (struct step){.kind = STEP_FOUND};
    return e;
}
