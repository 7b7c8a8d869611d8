/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * charon's settings, as its files have them: it does not tell them over vici. Only the few keys of
 * `charon { }` that decide whether a cluster comes up are looked at, by their names, line by
 * line; strongswan.conf(5) says how files include each other.
 */
#include <errno.h>
#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/doctor.h"

#define DEPTH_MAX 4U   /* files that include files */
#define FILES_MAX 200U /* a pattern may name many */

struct settings {
	int64_t block_threshold, cookie_threshold_ip, table_size, threads; /* -1: not set */
	bool roams; /* it does not leave changes of addresses to overlayd */
	unsigned files;
};

static void file_read(struct settings *s, const char *path, unsigned depth);

static void include(struct settings *s, const char *from, const char *pattern, unsigned depth)
{
	char dir[PATH_MAX], path[PATH_MAX];
	glob_t found = {0};

	snprintf(dir, sizeof(dir), "%s", from);
	if (*pattern == '/')
		snprintf(path, sizeof(path), "%s", pattern);
	else if (snprintf(path, sizeof(path), "%s/%s", dirname(dir), pattern) >= (int)sizeof(path))
		return;
	if (!glob(path, 0, NULL, &found))
		for (size_t i = 0; i < found.gl_pathc; i++)
			file_read(s, found.gl_pathv[i], depth + 1);
	globfree(&found);
}

static void line_read(struct settings *s, const char *from, const char *line, unsigned depth)
{
	char key[64], word[PATH_MAX];

	if (sscanf(line, " include %4095s", word) == 1) {
		include(s, from, word, depth);
		return;
	}
	if (sscanf(line, " %63[a-z_] = %63s", key, word) != 2)
		return;
	if (!strcmp(key, "block_threshold"))
		s->block_threshold = atoll(word);
	else if (!strcmp(key, "cookie_threshold_ip"))
		s->cookie_threshold_ip = atoll(word);
	else if (!strcmp(key, "ikesa_table_size"))
		s->table_size = atoll(word);
	else if (!strcmp(key, "threads"))
		s->threads = atoll(word);
	else if (!strcmp(key, "roam_events"))
		s->roams = strcmp(word, "no") && strcmp(word, "0") && strcmp(word, "off") &&
		           strcmp(word, "false");
}

static void file_read(struct settings *s, const char *path, unsigned depth)
{
	char line[PATH_MAX + 64];
	FILE *in;

	if (depth > DEPTH_MAX || s->files >= FILES_MAX)
		return;
	in = fopen(path, "re");
	if (!in)
		return;
	s->files++;
	while (fgets(line, sizeof(line), in))
		line_read(s, path, line, depth);
	fclose(in);
}

void doctor_charon(json_t *checks)
{
	const char *conf = getenv("STRONGSWAN_CONF"); /* as charon itself does */
	struct settings s = {-1, -1, -1, -1, true, 0};

	conf = conf ? conf : "/etc/strongswan.conf";
	file_read(&s, conf, 0);
	if (!s.files)
		doctor_add(checks, "charon settings", "warn",
		        "run this as root, or set STRONGSWAN_CONF as charon has it", "%s: %s", conf,
		        strerror(errno));
	else if (s.block_threshold == 0 && s.cookie_threshold_ip == 0)
		doctor_add(checks, "charon settings", "bad",
		        "install overlayd's strongswan.d/overlayd.conf, and restart charon",
		        "block_threshold and cookie_threshold_ip are both 0: charon then takes 1, "
		        "and "
		        "nodes that come together from one address never get in");
	else if (s.block_threshold < 0 || s.table_size < 0)
		doctor_add(checks, "charon settings", "warn",
		        "install overlayd's strongswan.d/overlayd.conf, and restart charon",
		        "charon's defaults suit few peers: %s is not set",
		        s.block_threshold < 0 ? "block_threshold" : "ikesa_table_size");
	else if (s.roams)
		doctor_add(checks, "charon settings", "warn",
		        "install overlayd's strongswan.d/overlayd.conf, and restart charon",
		        "roam_events is not \"no\": when an address of this node changes charon "
		        "builds "
		        "its tunnels anew by itself, and may mix up those of two peers");
	else if (s.threads >= 0 && s.threads < 8)
		doctor_add(checks, "charon settings", "warn", "charon.threads = 16",
		        "threads = %lld: handshakes wait for each other", (long long)s.threads);
	else
		doctor_add(checks, "charon settings", "ok", "",
		        "half-open limit %lld, table of %lld, threads: %lld",
		        (long long)s.block_threshold, (long long)s.table_size,
		        s.threads < 0 ? 16LL : (long long)s.threads);
}
