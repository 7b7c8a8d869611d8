/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What edits share: a directory that is locked and read, texts that change, and their writing. */
#include "policy/edit_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

int pol_edit_open(struct pol_edit *edit, const char *dir, struct policy_report *report)
{
	int ret;

	*edit = (struct pol_edit){.report = report, .dir = -1};
	edit->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (edit->dir < 0 || flock(edit->dir, LOCK_EX))
		return pol_report_errno(report, dir, -errno, "the policy directory cannot be used");
	ret = pol_files_read(&edit->files, dir, report);
	if (ret)
		return ret;
	return policy_parse(edit->files.all, edit->files.n, &edit->old, report);
}

void pol_edit_close(struct pol_edit *edit)
{
	pol_files_clear(&edit->files);
	policy_unref(edit->old);
	policy_unref(edit->new);
	if (edit->dir >= 0)
		close(edit->dir);
}

struct policy_file *pol_edit_file(struct pol_edit *edit, const char *name)
{
	for (size_t i = 0; i < edit->files.n; i++)
		if (strcmp(edit->files.all[i].name, name) == 0)
			return &edit->files.all[i];
	return NULL;
}

int pol_file_splice(struct policy_file *file, size_t at, size_t n, const char *text)
{
	size_t add = strlen(text);
	char *data = malloc(file->len - n + add + 1);

	if (!data)
		return -ENOMEM;
	memcpy(data, file->data, at);
	memcpy(data + at, text, add);
	memcpy(data + at + add, file->data + at + n, file->len - at - n);
	free((char *)(uintptr_t)file->data);
	file->data = data;
	file->len = file->len - n + add;
	return 0;
}

/* Finds the digits of `serial: 7`; the check afterwards proves that it was the right place. */
int pol_edit_serial(struct pol_edit *edit)
{
	struct policy_file *file = pol_edit_file(edit, POL_MAIN_FILE);
	const struct policy_where where = {POL_MAIN_FILE, 0, 0};
	char number[24];

	snprintf(number, sizeof(number), "%llu", (unsigned long long)edit->old->serial + 1);
	for (size_t at = 0; at < file->len;) {
		const char *line = file->data + at, *nl = memchr(line, '\n', file->len - at);
		size_t len = nl ? (size_t)(nl - line) : file->len - at, i = 7, n = 0;

		if (len > 7 && memcmp(line, "serial:", 7) == 0) {
			while (i < len && (line[i] == ' ' || line[i] == '\t' || line[i] == '"' ||
			                          line[i] == '\''))
				i++;
			while (i + n < len && line[i + n] >= '0' && line[i + n] <= '9')
				n++;
			if (n)
				return pol_file_splice(file, at + i, n, number);
		}
		at += len + 1;
	}
	pol_report_fault(edit->report, where,
	        "the line `serial: %llu` was not found at the beginning of a line: write it so",
	        (unsigned long long)edit->old->serial);
	return -EINVAL;
}

int pol_edit_check(struct pol_edit *edit)
{
	const struct policy_where where = {POL_MAIN_FILE, 0, 0};
	int ret = policy_parse(edit->files.all, edit->files.n, &edit->new, edit->report);

	if (ret)
		return ret;
	if (edit->new->serial == edit->old->serial + 1)
		return 0;
	pol_report_fault(edit->report, where,
	        "the serial could not be raised in place: write `serial: %llu` by hand",
	        (unsigned long long)edit->old->serial + 1);
	return -EINVAL;
}

static int main_write(struct pol_edit *edit)
{
	const struct policy_file *file = pol_edit_file(edit, POL_MAIN_FILE);
	int ret = pol_file_replace(edit->dir, POL_MAIN_FILE, file->data, file->len);

	return ret ? pol_report_errno(
	                     edit->report, POL_MAIN_FILE, ret, "this file cannot be written")
	           : 0;
}

void pol_edit_done(struct pol_edit *edit, struct policy **out)
{
	if (out) {
		*out = edit->new;
		edit->new = NULL;
	}
}

/* ---- texts */

static void quote(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			fprintf(out, "\\x%02x",
			        (unsigned char)*text); /* the check will refuse it */
		else
			fputc(*text, out);
	}
	fputc('"', out);
}

void pol_list_write(FILE *out, const char *key, const char *const *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i == 0)
			fprintf(out, "  %s: [", key);
		else
			fputs(", ", out);
		if (pol_name_valid(items[i]))
			fputs(items[i], out);
		else
			quote(out, items[i]);
	}
	if (n)
		fputs("]\n", out);
}

void pol_pair_write(FILE *out, const char *key, const char *value)
{
	if (!value)
		return;
	fprintf(out, "  %s: ", key);
	if (pol_name_valid(value))
		fputs(value, out);
	else
		quote(out, value);
	fputc('\n', out);
}

static size_t indent_of(const char *line, size_t len)
{
	size_t n = 0;

	while (n < len && line[n] == ' ')
		n++;
	return n;
}

int pol_entry_find(const struct policy_file *file, const struct policy_where *where, size_t *from,
        size_t *len_out)
{
	size_t at = 0, begin = 0, end = 0, indent = 0;

	for (uint32_t line = 1; at < file->len; line++) {
		const char *text = file->data + at, *nl = memchr(text, '\n', file->len - at);
		size_t len = nl ? (size_t)(nl - text) : file->len - at, own = indent_of(text, len);
		bool blank = own == len || (own + 1 == len && text[own] == '\r');

		if (line == where->line) {
			indent = own;
			begin = at;
			if (own + 1 != where->column)
				return -EINVAL; /* something stands before it */
		} else if (line > where->line && !blank && own <= indent) {
			break;
		}
		at += nl ? len + 1 : len;
		if (line == where->line || (line > where->line && !blank))
			end = at;
	}
	if (end <= begin)
		return -EINVAL;
	*from = begin;
	*len_out = end - begin;
	return 0;
}

int pol_entry_cut(struct policy_file *file, const struct policy_where *where)
{
	size_t begin, len;

	return pol_entry_find(file, where, &begin, &len) ? -EINVAL
	                                                 : pol_file_splice(file, begin, len, "");
}

/* ---- files */

int pol_edit_add(struct pol_edit *edit, const char *name, char *text, size_t len)
{
	int ret = pol_files_put(&edit->files, name, text, len);

	if (!ret)
		return 0;
	free(text);
	return pol_report_errno(edit->report, name, ret, "this file cannot be written");
}

void pol_edit_drop(struct pol_edit *edit, struct policy_file *file)
{
	free((char *)(uintptr_t)file->name);
	free((char *)(uintptr_t)file->data);
	*file = edit->files.all[--edit->files.n];
}

int pol_edit_write(struct pol_edit *edit, const char *name, bool gone)
{
	const struct policy_file *file = pol_edit_file(edit, name);
	int ret = 0;

	if (gone) {
		if (unlinkat(edit->dir, name, 0))
			ret = -errno;
	} else if (strcmp(name, POL_MAIN_FILE) != 0) {
		ret = pol_file_replace(edit->dir, name, file->data, file->len);
	}
	if (ret)
		return pol_report_errno(edit->report, name, ret, "this file cannot be changed");
	return main_write(edit);
}
