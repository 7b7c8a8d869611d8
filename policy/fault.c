/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults while parsing: where, the line itself, and what may have been meant. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

#define SOURCE_MAX 1000U
#define MESSAGE_MAX 1024
#define GUESSES_MAX 400000U

struct policy_where pol_at(const struct pol_ctx *ctx, const struct pol_node *node)
{
	return (struct policy_where){ctx->source->name, node->line, node->column};
}

static uint32_t source_order(const struct pol_ctx *ctx, const char *file)
{
	for (size_t i = 0; i < ctx->n_sources; i++)
		if (ctx->sources[i].name == file)
			return (uint32_t)i;
	return UINT32_MAX;
}

/* The line at `where`, without control characters, cut when long; "" when there is none. */
static char *source_line(const struct pol_source *source, const struct policy_where *where)
{
	const char *line = source->data, *end = source->data + source->len;
	size_t len;
	char *copy;

	for (uint32_t i = 1; line && i < where->line; i++) {
		line = memchr(line, '\n', (size_t)(end - line));
		line = line ? line + 1 : NULL;
	}
	if (!line || !where->line || where->column > SOURCE_MAX / 4)
		return strdup("");
	for (len = 0; line + len < end && line[len] != '\n' && len < SOURCE_MAX; len++)
		;
	while (len && (line + len < end) && ((unsigned char)line[len] & 0xc0) == 0x80)
		len--;
	copy = strndup(line, len);
	for (char *c = copy; c && *c; c++)
		if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
			*c = *c == '\r' && !c[1] ? '\0' : '?';
	return copy;
}

/* The report's own copy of a file's name. */
static const char *report_file(struct policy_report *report, const char *name)
{
	char **files;

	for (size_t i = 0; i < report->n_files; i++)
		if (strcmp(report->files[i], name) == 0)
			return report->files[i];
	files = realloc(report->files, (report->n_files + 1) * sizeof(*files));
	if (!files)
		return NULL;
	report->files = files;
	files[report->n_files] = strdup(name);
	if (!files[report->n_files])
		return NULL;
	return files[report->n_files++];
}

/* A place for one more fault; when full, an error takes the place of a warning. */
static struct policy_fault *fault_place(struct policy_report *report, enum policy_severity severity)
{
	struct policy_fault *faults;

	if (report->n_faults < POLICY_FAULTS_MAX) {
		faults = realloc(report->faults, (report->n_faults + 1) * sizeof(*faults));
		if (!faults)
			return NULL;
		report->faults = faults;
		return &faults[report->n_faults++];
	}
	for (size_t i = report->n_faults; severity == POLICY_ERROR && i-- > 0;) {
		if (report->faults[i].severity == POLICY_WARNING) {
			free(report->faults[i].message);
			free(report->faults[i].source);
			return &report->faults[i];
		}
	}
	return NULL;
}

/* False: it would only be counted, and then the fault after the 200th costs nothing. */
static bool fault_wanted(const struct policy_report *report, enum policy_severity severity)
{
	return report->n_faults < POLICY_FAULTS_MAX ||
	       (severity == POLICY_ERROR && report->n_warnings);
}

static struct policy_fault *fault_add(struct policy_report *report, enum policy_severity severity,
        const struct policy_where *where, char *message, char *source)
{
	bool wanted = fault_wanted(report, severity);
	const char *file = wanted ? report_file(report, where->file) : NULL;
	struct policy_fault *fault;

	if (severity == POLICY_ERROR)
		report->n_errors++;
	else
		report->n_warnings++;
	fault = file && message && source ? fault_place(report, severity) : NULL;
	if (!fault) {
		free(message);
		free(source);
		return NULL;
	}
	*fault = (struct policy_fault){severity, *where, message, source};
	fault->where.file = file;
	return fault;
}

void pol_fault(struct pol_ctx *ctx, enum policy_severity severity, struct policy_where where,
        const char *format, ...)
{
	bool wanted = fault_wanted(ctx->report, severity);
	char *message = wanted ? malloc(MESSAGE_MAX) : NULL, *source = NULL;
	struct policy_fault *fault;
	uint32_t order = wanted ? source_order(ctx, where.file) : UINT32_MAX;
	va_list args;

	if (severity == POLICY_ERROR)
		ctx->errors++;
	if (message) {
		va_start(args, format);
		vsnprintf(message, MESSAGE_MAX, format, args);
		va_end(args);
	}
	if (order != UINT32_MAX)
		source = source_line(&ctx->sources[order], &where);
	else if (wanted)
		source = strdup("");
	fault = fault_add(ctx->report, severity, &where, message, source);
	if (fault)
		ctx->orders[fault - ctx->report->faults] = order;
}

static bool fault_before(const struct pol_ctx *ctx, size_t a, size_t b)
{
	const struct policy_where *x = &ctx->report->faults[a].where;
	const struct policy_where *y = &ctx->report->faults[b].where;

	if (ctx->orders[a] != ctx->orders[b])
		return ctx->orders[a] < ctx->orders[b];
	if (x->line != y->line)
		return x->line < y->line;
	return x->column < y->column;
}

/* At most POLICY_FAULTS_MAX of them: an insertion sort, stable. */
void pol_faults_sort(struct pol_ctx *ctx)
{
	struct policy_fault *faults = ctx->report->faults;

	for (size_t i = ctx->first_fault + 1; i < ctx->report->n_faults; i++) {
		for (size_t j = i; j > ctx->first_fault && fault_before(ctx, j, j - 1); j--) {
			struct policy_fault fault = faults[j];
			uint32_t order = ctx->orders[j];

			faults[j] = faults[j - 1];
			faults[j - 1] = fault;
			ctx->orders[j] = ctx->orders[j - 1];
			ctx->orders[j - 1] = order;
		}
	}
}

int pol_report_errno(struct policy_report *report, const char *file, int err, const char *what)
{
	struct policy_where where = {file, 0, 0};
	char *message;

	if (asprintf(&message, "%s: %s", what, strerror(-err)) < 0)
		message = NULL;
	fault_add(report, POLICY_ERROR, &where, message, strdup(""));
	return err;
}

void pol_report_fault(
        struct policy_report *report, struct policy_where where, const char *format, ...)
{
	char *message = malloc(MESSAGE_MAX);
	va_list args;

	if (message) {
		va_start(args, format);
		vsnprintf(message, MESSAGE_MAX, format, args);
		va_end(args);
	}
	fault_add(report, POLICY_ERROR, &where, message, strdup(""));
}

struct pol_hint pol_hint(const struct pol_guess *guess)
{
	struct pol_hint hint = {""};

	if (guess->best)
		snprintf(hint.text, sizeof(hint.text), " (did you mean '%.63s'?)", guess->best);
	return hint;
}

bool pol_may_guess(struct pol_ctx *ctx, size_t candidates)
{
	if (ctx->report->n_faults >= POLICY_FAULTS_MAX || candidates > GUESSES_MAX - ctx->guesses)
		return false;
	ctx->guesses += (unsigned)candidates;
	return true;
}

struct pol_hint pol_hint_names(struct pol_ctx *ctx, const struct pol_names *names, const char *text)
{
	struct pol_guess guess;

	pol_guess_init(&guess, text);
	if (pol_may_guess(ctx, names->used))
		for (uint32_t i = 0; i < names->size; i++)
			if (names->slots[i].text)
				pol_guess_offer(&guess, names->slots[i].text);
	return pol_hint(&guess);
}

struct pol_hint pol_hint_list(const char *const *list, const char *text)
{
	struct pol_guess guess;

	pol_guess_init(&guess, text);
	for (; *list; list++)
		pol_guess_offer(&guess, *list);
	return pol_hint(&guess);
}
