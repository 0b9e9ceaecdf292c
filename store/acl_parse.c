#include "store/acl_parse.h"

#include "core/base/limit.h"

enum token {
    TOKEN_END,
    TOKEN_WORD,
    TOKEN_STRING,
    TOKEN_PUNCTUATION, /* one of { } [ ] = , : */
    TOKEN_BAD,
};

struct lexer {
    struct bytes text;
    size_t at;        /* behind the token */
    size_t began;     /* of the token */
    enum token token; /* the one at hand */
    char punctuation; /* TOKEN_PUNCTUATION */
    struct buf value; /* TOKEN_WORD, TOKEN_STRING */
    struct buf name;  /* of the rule at hand */
    struct buf comments;
    size_t above; /* of them, what stands above the rule at hand */
    const struct acl_parse *parse;
    struct reason *why;
};

static enum err lexer_fail(struct lexer *l, const char *what)
{
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < l->began && i < l->text.len; i++) {
        line += l->text.ptr[i] == '\n';
        column = l->text.ptr[i] == '\n' ? 1 : column + 1;
    }
    /* The end lies behind the last character, for Consul's parser one further. */
    column += l->token == TOKEN_END;
    reason_set(l->why, "At %zu:%zu: %s", line, column, what);
    return ERR_INVALID;
}

static int lexer_peek(const struct lexer *l, size_t ahead)
{
    return l->at + ahead < l->text.len ? (unsigned char)l->text.ptr[l->at + ahead] : -1;
}

/* A comment that begins here, or 0. */
static size_t lexer_comment(const struct lexer *l, size_t *ret_len)
{
    struct bytes rest = bytes_slice(l->text, l->at, l->text.len);
    if (bytes_begins(rest, BYTES("#")) || bytes_begins(rest, BYTES("//"))) {
        *ret_len = bytes_find(rest, '\n');
        return *ret_len;
    }
    if (!bytes_begins(rest, BYTES("/*"))) {
        return 0;
    }
    for (size_t i = 2; i + 1 < rest.len; i++) {
        if (rest.ptr[i] == '*' && rest.ptr[i + 1] == '/') {
            *ret_len = i + 2;
            return *ret_len;
        }
    }
    *ret_len = rest.len;
    return *ret_len;
}

/* Blanks and comments; these are kept, as a line each. False: no room. */
static bool lexer_skip(struct lexer *l)
{
    for (;;) {
        int c = lexer_peek(l, 0);
        size_t len = 0;
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            l->at++;
        } else if (lexer_comment(l, &len) > 0) {
            struct bytes comment = bytes_slice(l->text, l->at, l->at + len);
            if (buf_append(&l->comments, comment) != OK ||
                buf_append_char(&l->comments, '\n') != OK) {
                return false;
            }
            l->at += len;
        } else {
            return true;
        }
    }
}

static bool is_word(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

static char string_escape(int c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case '"':
    case '\\':
    case '/':
        return (char)c;
    default:
        return '\0';
    }
}

/* Behind the opening quote. False: it has no end, or holds what it may not. */
static bool lexer_string(struct lexer *l)
{
    for (;;) {
        int c = lexer_peek(l, 0);
        if (c < 0 || c == '\n' || c == '\0') {
            return false;
        }
        l->at++;
        if (c == '"') {
            return true;
        }
        if (c == '\\') {
            c = (unsigned char)string_escape(lexer_peek(l, 0));
            l->at++;
            if (c == 0) {
                return false;
            }
        }
        if (buf_append_char(&l->value, (char)c) != OK) {
            return false;
        }
    }
}

static void lexer_next(struct lexer *l)
{
    buf_clear(&l->value);
    if (!lexer_skip(l)) {
        l->token = TOKEN_BAD;
        return;
    }
    l->began = l->at;
    int c = lexer_peek(l, 0);
    if (c < 0) {
        l->token = TOKEN_END;
    } else if (c == '"') {
        l->at++;
        l->token = lexer_string(l) ? TOKEN_STRING : TOKEN_BAD;
    } else if (is_word(c)) {
        l->token = TOKEN_WORD;
        while (is_word(lexer_peek(l, 0))) {
            if (buf_append_char(&l->value, l->text.ptr[l->at]) != OK) {
                l->token = TOKEN_BAD;
            }
            l->at++;
        }
    } else {
        bool known =
            c == '{' || c == '}' || c == '[' || c == ']' || c == '=' || c == ',' || c == ':';
        l->token = known ? TOKEN_PUNCTUATION : TOKEN_BAD;
        l->punctuation = (char)c;
        l->at++;
    }
}

static bool lexer_is(const struct lexer *l, char c)
{
    return l->token == TOKEN_PUNCTUATION && l->punctuation == c;
}

static bool lexer_take(struct lexer *l, char c)
{
    if (!lexer_is(l, c)) {
        return false;
    }
    lexer_next(l);
    return true;
}

/* --- rules ----------------------------------------------------------------------------------- */

/* `key`, `key_prefix`, `operator`, ... */
static enum err rule_word(struct lexer *l, struct acl_rule_text *rule)
{
    const struct bytes ending = BYTES("_prefix");
    struct bytes word = buf_view(&l->value);
    *rule = (struct acl_rule_text){0};
    if (l->token != TOKEN_WORD && l->token != TOKEN_STRING) {
        return lexer_fail(l, "expected the name of a resource");
    }
    if (word.len > ending.len &&
        bytes_equal(bytes_slice(word, word.len - ending.len, word.len), ending)) {
        rule->prefix = true;
        word = bytes_slice(word, 0, word.len - ending.len);
    }
    if (acl_resource_parse(word, &rule->resource) == OK) {
        enum acl_resource r = rule->resource;
        rule->scalar = r == ACL_ACL || r == ACL_KEYRING || r == ACL_OPERATOR || r == ACL_MESH ||
                       r == ACL_PEERING;
        if (!rule->scalar || !rule->prefix) {
            return OK;
        }
    }
    return lexer_fail(l, "no resource has this name");
}

static enum err rule_access(struct lexer *l, struct acl_rule_text *rule)
{
    if (l->token != TOKEN_STRING || acl_access_parse(buf_view(&l->value), &rule->access) != OK ||
        (rule->access == ACL_LIST && rule->resource != ACL_KEY)) {
        return lexer_fail(l, "a policy is \"read\", \"write\" or \"deny\", or \"list\" of keys");
    }
    lexer_next(l);
    return OK;
}

static enum err rule_say(struct lexer *l, struct acl_rule_text *rule)
{
    rule->name = buf_view(&l->name);
    rule->comments = bytes_slice(buf_view(&l->comments), 0, l->above);
    enum err e = l->parse->rule(l->parse->ctx, rule);
    if (e == ERR_TOO_BIG) {
        reason_set(l->why, "more than %u rules, or too long ones", ACL_RULES_MAX);
    }
    return e;
}

static enum err rule_name(struct lexer *l)
{
    buf_clear(&l->name);
    if (l->token != TOKEN_STRING) {
        return lexer_fail(l, "expected a name in quotes");
    }
    if (l->value.len > ROW_NAME_MAX) {
        return lexer_fail(l, "a name is longer than any may be");
    }
    enum err e = buf_append(&l->name, buf_view(&l->value));
    lexer_next(l);
    return e;
}

/* `{ policy = "read" }`, in JSON with colons. `intentions` belong to the mesh and say nothing here.
 */
static enum err rule_body(struct lexer *l, struct acl_rule_text *rule)
{
    bool said = false;
    if (!lexer_take(l, '{')) {
        return lexer_fail(l, "expected {");
    }
    while (!lexer_take(l, '}')) {
        struct bytes word = buf_view(&l->value);
        bool policy = bytes_equal(word, BYTES("policy"));
        if ((l->token != TOKEN_WORD && l->token != TOKEN_STRING) ||
            (!policy && !bytes_equal(word, BYTES("intentions")))) {
            return lexer_fail(l, "expected policy");
        }
        lexer_next(l);
        if (!lexer_take(l, '=') && !lexer_take(l, ':')) {
            return lexer_fail(l, "expected = and a policy");
        }
        struct acl_rule_text other = *rule;
        enum err e = rule_access(l, policy ? rule : &other);
        if (e != OK) {
            return e;
        }
        said = said || policy;
        (void)lexer_take(l, ',');
    }
    return said ? OK : lexer_fail(l, "a rule without a policy");
}

/* --- HCL ------------------------------------------------------------------------------------- */

static enum err hcl_rule(struct lexer *l)
{
    struct acl_rule_text rule;
    l->above = l->comments.len;
    enum err e = rule_word(l, &rule);
    if (e != OK) {
        return e;
    }
    lexer_next(l);
    buf_clear(&l->name);
    if (rule.scalar) {
        if (!lexer_take(l, '=')) {
            return lexer_fail(l, "expected = and a policy");
        }
        e = rule_access(l, &rule);
    } else {
        e = rule_name(l);
        (void)(e == OK && lexer_take(l, '='));
        e = e == OK ? rule_body(l, &rule) : e;
    }
    e = e == OK ? rule_say(l, &rule) : e;
    /* What was met since belongs to the next one. */
    buf_consume(&l->comments, l->above);
    (void)(e == OK && lexer_take(l, ','));
    return e;
}

static enum err hcl_rules(struct lexer *l)
{
    enum err e = OK;
    while (e == OK && l->token != TOKEN_END) {
        e = hcl_rule(l);
    }
    return e;
}

/* --- JSON ------------------------------------------------------------------------------------ */

/* `"name": {"policy": "read"}, ...` behind the brace, the closing one included. */
static enum err json_names(struct lexer *l, struct acl_rule_text *rule)
{
    enum err e = OK;
    while (e == OK && !lexer_take(l, '}')) {
        e = rule_name(l);
        if (e == OK && !lexer_take(l, ':')) {
            e = lexer_fail(l, "expected :");
        }
        e = e == OK ? rule_body(l, rule) : e;
        e = e == OK ? rule_say(l, rule) : e;
        if (e == OK && !lexer_take(l, ',') && !lexer_is(l, '}')) {
            e = lexer_fail(l, "expected , or }");
        }
    }
    return e;
}

/* An object of names, or an array of such objects. */
static enum err json_resource(struct lexer *l, struct acl_rule_text *rule)
{
    bool array = lexer_take(l, '[');
    enum err e = OK;
    do {
        if (array && lexer_is(l, ']')) {
            break;
        }
        e = lexer_take(l, '{') ? json_names(l, rule) : lexer_fail(l, "expected {");
    } while (e == OK && array && lexer_take(l, ','));
    if (e == OK && array && !lexer_take(l, ']')) {
        e = lexer_fail(l, "expected ]");
    }
    return e;
}

static enum err json_rules(struct lexer *l)
{
    enum err e = OK;
    while (e == OK && !lexer_take(l, '}')) {
        struct acl_rule_text rule;
        e = rule_word(l, &rule);
        if (e != OK) {
            return e;
        }
        lexer_next(l);
        buf_clear(&l->name);
        if (!lexer_take(l, ':')) {
            return lexer_fail(l, "expected :");
        }
        if (rule.scalar) {
            e = rule_access(l, &rule);
            e = e == OK ? rule_say(l, &rule) : e;
        } else {
            e = json_resource(l, &rule);
        }
        if (e == OK && !lexer_take(l, ',') && !lexer_is(l, '}')) {
            e = lexer_fail(l, "expected , or }");
        }
    }
    if (e == OK && l->token != TOKEN_END) {
        e = lexer_fail(l, "something follows the rules");
    }
    return e;
}

/* Whether every brace is closed is asked first, as Consul's parser does: what is said of an open
 * one does not depend on the words before it. */
static enum err lexer_balanced(struct lexer *l)
{
    size_t depth = 0;
    for (lexer_next(l); l->token != TOKEN_END && l->token != TOKEN_BAD; lexer_next(l)) {
        depth += lexer_is(l, '{');
        depth -= depth > 0 && lexer_is(l, '}');
    }
    if (depth > 0 && l->token == TOKEN_END) {
        return lexer_fail(l, "object expected closing RBRACE got: EOF");
    }
    l->at = 0;
    buf_clear(&l->comments);
    lexer_next(l);
    return OK;
}

enum err acl_parse(struct bytes text, const struct acl_parse *p, struct reason *why)
{
    if (text.len > ACL_RULES_LEN_MAX) {
        reason_set(why, "rules of more than %u bytes", ACL_RULES_LEN_MAX);
        return ERR_TOO_BIG;
    }
    struct lexer l = {.text = text, .parse = p, .why = why};
    buf_init(&l.value, ACL_RULES_LEN_MAX);
    buf_init(&l.name, ROW_NAME_MAX);
    buf_init(&l.comments, (size_t)2 * ACL_RULES_LEN_MAX);
    enum err e = lexer_balanced(&l);
    if (e == OK) {
        e = lexer_take(&l, '{') ? json_rules(&l) : hcl_rules(&l);
    }
    buf_close(&l.value);
    buf_close(&l.name);
    buf_close(&l.comments);
    return e;
}
