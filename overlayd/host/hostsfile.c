/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/hostsfile.h"

#include "client/paths.h"
#include "host/world.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX (16U << 20)
#define HOSTS_MODE 0644U

struct hostsfile {
	struct world *world;
	sd_event_source *timer;
	int64_t written_us;
	bool failed; /* the last try: told */
};

/* ---- what it says --------------------------------------------------------------------------- */

static int peer_compare(const void *a, const void *b)
{
	const struct policy_peer *x = *(const struct policy_peer *const *)a;
	const struct policy_peer *y = *(const struct policy_peer *const *)b;
	int diff = strcasecmp(x->name, y->name);

	return diff ? diff : strcmp(x->name, y->name);
}

struct names_of {
	const char *cluster;
	const struct policy_peer **peers; /* by name, upper and lower case the same */
	size_t n;
};

static int name_compare(const void *name, const void *peer)
{
	return strcasecmp(name, (*(const struct policy_peer *const *)peer)->name);
}

static bool names_have(const struct names_of *names, const char *name)
{
	return bsearch(name, names->peers, names->n, sizeof(*names->peers), name_compare) != NULL;
}

/* A guest chose its name: in a cluster called example.org none is to become www.example.org. */
static bool has_whole(
        const struct names_of *names, const struct policy_peer *peer, const char *whole)
{
	return !names_have(names, whole) && !(peer->guest && strchr(names->cluster, '.'));
}

static void addr_print(FILE *out, const struct names_of *names, const struct policy_peer *peer,
        const struct policy_addr *addr)
{
	char whole[2 * POLICY_NAME_MAX + 2];
	char text[INET6_ADDRSTRLEN];

	if (!addr->family)
		return;
	policy_addr_print(addr, text, sizeof(text));
	snprintf(whole, sizeof(whole), "%s.%s", peer->name, names->cluster);
	fprintf(out, "%s %s", text, peer->name);
	if (has_whole(names, peer, whole))
		fprintf(out, " %s", whole);
	fputc('\n', out);
}

static void peers_print(FILE *out, const struct names_of *names, bool guests)
{
	for (size_t i = 0; i < names->n; i++) {
		const struct policy_peer *peer = names->peers[i];

		if (peer->guest != guests ||
		        (i && strcasecmp(peer->name, names->peers[i - 1]->name) == 0))
			continue;
		addr_print(out, names, peer, &peer->addr4);
		addr_print(out, names, peer, &peer->addr6);
	}
}

static int policy_names_print(FILE *out, const struct policy *policy)
{
	struct names_of names = {.cluster = policy->cluster, .n = policy->n_peers};

	names.peers = calloc(policy->n_peers + 1, sizeof(*names.peers));
	if (!names.peers)
		return -ENOMEM;
	for (size_t i = 0; i < names.n; i++)
		names.peers[i] = &policy->peers[i];
	qsort(names.peers, names.n, sizeof(*names.peers), peer_compare);
	peers_print(out, &names, false);
	peers_print(out, &names, true);
	free(names.peers);
	return 0;
}

char *hostsfile_text(const struct policy *policy, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);
	int err = 0;

	if (!out)
		return NULL;
	fputs("# Names of the overlay, kept by overlayd for libnss_overlay(8): changes are lost.\n",
	        out);
	if (policy)
		err = policy_names_print(out, policy);
	if (fclose(out) || err) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- keeping it ----------------------------------------------------------------------------- */

static bool is_there(const char *dir, const char *text, size_t len)
{
	char path[PATH_MAX];
	struct stat st;
	size_t old_len;
	char *old;
	bool same;

	if (snprintf(path, sizeof(path), "%s/" OVERLAY_HOSTS_FILE, dir) >= (int)sizeof(path) ||
	        lstat(path, &st) < 0 || (st.st_mode & 07777) != HOSTS_MODE)
		return false;
	if (state_read(dir, OVERLAY_HOSTS_FILE, TEXT_MAX, &old, &old_len))
		return false;
	same = old_len == len && memcmp(old, text, len) == 0;
	free(old);
	return same;
}

static int file_write(const struct hostsfile *file)
{
	const char *dir = file->world->options.run_dir;
	struct engine_view view;
	size_t len;
	char *text;
	int err = 0;

	engine_look(file->world->engine, &view);
	text = hostsfile_text(view.policy, &len);
	if (!text)
		return -ENOMEM;
	if (!is_there(dir, text, len))
		err = state_write_for(dir, OVERLAY_HOSTS_FILE, text, len, HOSTS_MODE);
	free(text);
	return err;
}

static void timer_set(const struct hostsfile *file, int64_t at)
{
	sd_event_source_set_time(file->timer, (uint64_t)at);
	sd_event_source_set_enabled(file->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *user)
{
	struct hostsfile *file = user;
	int err = file_write(file);

	(void)source, (void)usec;
	file->written_us = world_now_us();
	if (err)
		timer_set(file, file->written_us + HOSTSFILE_AGAIN_US);
	if (err && !file->failed)
		log_warning("cannot write %s/" OVERLAY_HOSTS_FILE " (%s): names of the overlay are "
		            "as they were; it is tried again",
		        file->world->options.run_dir, strerror(-err));
	else if (!err && file->failed)
		log_notice("names of the overlay are written again");
	file->failed = err != 0;
	world_trim_soon(file->world);
	return 0;
}

void hostsfile_changed(struct hostsfile *file)
{
	timer_set(file, file->written_us + HOSTSFILE_PAUSE_US);
}

bool hostsfile_failed(const struct hostsfile *file)
{
	return file->failed;
}

int hostsfile_new(struct world *world, struct hostsfile **out)
{
	struct hostsfile *file = calloc(1, sizeof(*file));
	int err;

	if (!file)
		return -ENOMEM;
	file->world = world;
	/* Due at once, that is when the loop runs: by then there is a directory. */
	err = sd_event_add_time(
	        world->event, &file->timer, CLOCK_BOOTTIME, 0, 1000, on_timer, file);
	if (err < 0) {
		free(file);
		return err;
	}
	*out = file;
	return 0;
}

void hostsfile_free(struct hostsfile *file)
{
	if (!file)
		return;
	sd_event_source_disable_unref(file->timer);
	free(file);
}

void hostsfile_remove(const char *run_dir)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/" OVERLAY_HOSTS_FILE, run_dir) < (int)sizeof(path))
		(void)unlink(path);
}
