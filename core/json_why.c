#include "core/json_why.h"

#include "core/base/limit.h"

#include <stdio.h>
#include <string.h>

/* What may come next. */
enum want {
    WANT_VALUE,
    WANT_VALUE_OR_END, /* behind [ */
    WANT_KEY,
    WANT_KEY_OR_END, /* behind { */
    WANT_COLON,
    WANT_AFTER, /* behind a value */
};

struct scan {
    struct bytes text;
    size_t at;
    char open[JSON_WHY_DEPTH_MAX]; /* { and [ that are not closed yet */
    size_t depth;
    enum want want;
    bool wrong;
    struct reason *why;
};

static void scan_character(struct scan *s, const char *context)
{
    unsigned char c = (unsigned char)s->text.ptr[s->at];
    s->wrong = true;
    if (c == '\'' || c == '\\') {
        reason_set(s->why, "invalid character '\\%c' %s", c, context);
    } else if (c == '\n' || c == '\r' || c == '\t') {
        char letter = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
        reason_set(s->why, "invalid character '\\%c' %s", letter, context);
    } else if (c >= 0x20 && c < 0x7f) {
        reason_set(s->why, "invalid character '%c' %s", c, context);
    } else if (c < 0x80) {
        reason_set(s->why, "invalid character '\\x%02x' %s", c, context);
    } else {
        /* Go takes the byte for a character of Latin-1. */
        char high = (char)(0xc0 | c >> 6);
        char low = (char)(0x80 | (c & 0x3f));
        reason_set(s->why, "invalid character '%c%c' %s", high, low, context);
    }
}

/* False at the end of the text, which is then wrong. */
static bool scan_more(struct scan *s)
{
    if (s->at < s->text.len) {
        return true;
    }
    s->wrong = true;
    reason_set(s->why, "unexpected EOF");
    return false;
}

static char scan_char(const struct scan *s)
{
    return s->text.ptr[s->at];
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static void scan_escape(struct scan *s)
{
    s->at++;
    if (!scan_more(s)) {
        return;
    }
    if (scan_char(s) == 'u') {
        for (int i = 0; i < 4 && !s->wrong; i++) {
            s->at++;
            if (scan_more(s) && !is_hex(scan_char(s))) {
                scan_character(s, "in \\u hexadecimal character escape");
            }
        }
    } else if (scan_char(s) == '\0' || strchr("\"\\/bfnrt", scan_char(s)) == NULL) {
        scan_character(s, "in string escape code");
    }
}

/* At the opening quote; ends behind the closing one. */
static void scan_string(struct scan *s)
{
    s->at++;
    while (!s->wrong && scan_more(s)) {
        char c = scan_char(s);
        if (c == '"') {
            s->at++;
            return;
        }
        if ((unsigned char)c < 0x20) {
            scan_character(s, "in string literal");
        } else if (c == '\\') {
            scan_escape(s);
        }
        s->at++;
    }
}

/* At least one digit. */
static void scan_digits(struct scan *s, const char *context)
{
    if (scan_more(s) && !is_digit(scan_char(s))) {
        scan_character(s, context);
    }
    while (!s->wrong && s->at < s->text.len && is_digit(scan_char(s))) {
        s->at++;
    }
}

static void scan_number(struct scan *s)
{
    if (scan_char(s) == '-') {
        s->at++;
        if (!scan_more(s)) {
            return;
        }
    }
    if (scan_char(s) == '0') {
        s->at++;
    } else {
        scan_digits(s, "in numeric literal");
    }
    if (!s->wrong && s->at < s->text.len && scan_char(s) == '.') {
        s->at++;
        scan_digits(s, "after decimal point in numeric literal");
    }
    if (!s->wrong && s->at < s->text.len && (scan_char(s) | 0x20) == 'e') {
        s->at++;
        if (scan_more(s) && (scan_char(s) == '+' || scan_char(s) == '-')) {
            s->at++;
        }
        if (!s->wrong) {
            scan_digits(s, "in exponent of numeric literal");
        }
    }
}

static void scan_word(struct scan *s, const char *word)
{
    for (size_t i = 0; word[i] != '\0' && scan_more(s); i++, s->at++) {
        if (scan_char(s) != word[i]) {
            char context[48];
            (void)snprintf(context, sizeof context, "in literal %s (expecting '%c')", word,
                           word[i]);
            scan_character(s, context);
            return;
        }
    }
}

static void scan_open(struct scan *s, char bracket)
{
    if (s->depth == JSON_WHY_DEPTH_MAX) {
        s->wrong = true;
        reason_set(s->why, "exceeded max depth");
        return;
    }
    s->open[s->depth++] = bracket;
    s->at++;
    s->want = bracket == '{' ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
}

static void scan_close(struct scan *s)
{
    s->depth--;
    s->at++;
    s->want = WANT_AFTER;
}

static void scan_value(struct scan *s)
{
    char c = scan_char(s);
    bool may_end = s->want == WANT_VALUE_OR_END;
    s->want = WANT_AFTER;
    if (c == ']' && may_end) {
        scan_close(s);
    } else if (c == '{' || c == '[') {
        scan_open(s, c);
    } else if (c == '"') {
        scan_string(s);
    } else if (c == '-' || is_digit(c)) {
        scan_number(s);
    } else if (c == 't') {
        scan_word(s, "true");
    } else if (c == 'f') {
        scan_word(s, "false");
    } else if (c == 'n') {
        scan_word(s, "null");
    } else {
        scan_character(s, "looking for beginning of value");
    }
}

static void scan_key(struct scan *s)
{
    if (scan_char(s) == '}' && s->want == WANT_KEY_OR_END) {
        scan_close(s);
    } else if (scan_char(s) == '"') {
        scan_string(s);
        s->want = WANT_COLON;
    } else {
        scan_character(s, "looking for beginning of object key string");
    }
}

static void scan_after(struct scan *s)
{
    bool object = s->open[s->depth - 1] == '{';
    char c = scan_char(s);
    if (c == ',') {
        s->at++;
        s->want = object ? WANT_KEY : WANT_VALUE;
    } else if (c == (object ? '}' : ']')) {
        scan_close(s);
    } else {
        scan_character(s, object ? "after object key:value pair" : "after array element");
    }
}

static void scan_step(struct scan *s)
{
    switch (s->want) {
    case WANT_VALUE:
    case WANT_VALUE_OR_END:
        scan_value(s);
        break;
    case WANT_KEY:
    case WANT_KEY_OR_END:
        scan_key(s);
        break;
    case WANT_COLON:
        if (scan_char(s) == ':') {
            s->at++;
            s->want = WANT_VALUE;
        } else {
            scan_character(s, "after object key");
        }
        break;
    case WANT_AFTER:
        scan_after(s);
        break;
    }
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool json_why(struct bytes text, struct reason *why)
{
    struct scan s = {.text = text, .want = WANT_VALUE, .why = why};
    while (s.at < text.len && is_space(text.ptr[s.at])) {
        s.at++;
    }
    if (s.at == text.len) {
        reason_set(why, "EOF");
        return false;
    }
    /* Go reads one value, and stops where it ends. */
    while (!s.wrong && (s.depth > 0 || s.want != WANT_AFTER)) {
        while (s.at < text.len && is_space(text.ptr[s.at])) {
            s.at++;
        }
        if (scan_more(&s)) {
            scan_step(&s);
        }
    }
    return !s.wrong;
}
