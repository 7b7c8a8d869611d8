/* SPDX-License-Identifier: GPL-2.0-or-later */
/* overlayctl with a server that answers as control.h says: tables, JSON, events, refusals. */
#include "serve_ctl.h"

#include <grp.h>
#include <poll.h>

static void test_status(void **state)
{
	(void)state;
	serve(NULL);
	status_put("ready", "",
	        "[{\"name\":\"node17\",\"address4\":\"10.77.0.17\",\"state\":\"up\",\"since\":"
	        "99940,"
	        "\"link\":\"192.0.2.17:4500\",\"bytes_in\":1536,\"bytes_out\":0,\"rekey_s\":3200,"
	        "\"why\":\"\"},"
	        "{\"name\":\"node18\",\"address4\":\"10.77.0.18\",\"state\":\"down\",\"since\":"
	        "null,"
	        "\"link\":null,\"bytes_in\":0,\"bytes_out\":0,\"rekey_s\":null,"
	        "\"why\":\"no answer \\u001b[2J\"}]");
	assert_int_equal(RUN("status"), 0);
	assert_string_equal(run_out,
	        "head1 of hpc: ready\n"
	        "  address   10.77.0.1, fd00::1\n"
	        "  key       SHA256:abc\n"
	        "  policy    serial 7, in force for 16m40s\n"
	        "  plane     libipsec, ipsec0, MTU 1400: the kernel has no ESP\n"
	        "  charon    5.9.8\n"
	        "  firewall  guard, in force\n"
	        "  peers     2: 1 up, 1 down\n"
	        "\n"
	        "PEER    STATE  SINCE  ADDRESS     LINK                  IN  OUT   REKEY  WHY\n"
	        "node17  up     1m00s  10.77.0.17  192.0.2.17:4500  1.5 KiB  0 B  53m20s\n"
	        "node18  down          10.77.0.18                                         no "
	        "answer "
	        "?[2J\n");
	assert_string_equal(run_err, "");
	assert_int_equal(RUN("status", "--json"), 0);
	assert_says(run_out, "\"name\": \"node17\"");
	/* Degraded is an answer, and 1; unknown things are no crash. */
	status_put("degraded", "charon does not answer", "[]");
	assert_int_equal(RUN("status"), 1);
	assert_says(run_out, "head1 of hpc: degraded: charon does not answer\n");
	run_spit("status.answer", "{\"state\":\"starting\",\"peers\":{\"a\":17},\"node\":[null]}");
	assert_int_equal(RUN("status"), 1);
	assert_says(run_out, "(not in the policy) of no cluster: starting\n");
}

static void test_lists(void **state)
{
	(void)state;
	serve(NULL);
	run_spit("firewall.answer",
	        "{\"text\":\"table inet overlayd {\\n\\tchain \\u0007x {}\\n}\\n\"}");
	assert_int_equal(RUN("firewall"), 0);
	assert_string_equal(run_out, "table inet overlayd {\n\tchain ?x {}\n}\n");
	run_spit("denied.answer",
	        "{\"total\":12,\"since\":null,\"denied\":[{\"time\":null,\"count\":3,"
	        "\"peer\":null,\"from\":\"10.77.0.9\",\"to\":\"10.77.0.1\",\"port\":"
	        "\"tcp/22\",\"why\":\"not admitted\"}]}");
	assert_int_equal(RUN("denied"), 0);
	assert_string_equal(run_out,
	        "AGO  TIMES  PEER        FROM       TO         PORT    WHY\n"
	        "  -      3  (stranger)  10.77.0.9  10.77.0.1  tcp/22  not admitted\n"
	        "\n12 packets denied\n");
	assert_int_equal(RUN("denied", "--json"), 0);
	assert_says(run_out, "\"total\": 12");
	assert_int_equal(RUN("explain", "--in-force", "a", "b", "tcp/1"), 0);
	assert_string_equal(run_out, "so says the daemon\n");
	assert_int_equal(RUN("explain", "--in-force", "a", "b", "tcp/2"), 1);
	assert_int_equal(RUN("version"), 0);
	assert_string_equal(run_out, "overlayctl " OVERLAYD_VERSION "\noverlayd   9.9\n");
	assert_int_equal(RUN("version", "--json"), 0);
	assert_says(run_out, "\"version\": \"9.9\"");
}

static void test_reload(void **state)
{
	(void)state;
	serve(NULL);
	run_spit("reload.answer",
	        "{\"serial\":8,\"changed\":true,\"warnings\":\"\",\"rows\":[{"
	        "\"change\":\"evicted\",\"subject\":\"node17\",\"text\":\"gone\"}]}");
	assert_int_equal(RUN("reload"), 0);
	assert_string_equal(run_out, "overlayd: serial 8 is in force\n"
	                             "CHANGE   WHAT    HOW\n"
	                             "evicted  node17  gone\n");
	run_spit("reload.answer",
	        "{\"serial\":8,\"changed\":false,\"warnings\":\"w\\n\",\"rows\":[]}");
	assert_int_equal(RUN("reload"), 0);
	assert_string_equal(run_out, "overlayd: serial 8 is in force, nothing changed\n");
	assert_string_equal(run_err, "w\n");
	run_spit("reload.answer", "!{\"report\":\"policy.yaml:3:4: error: no\\n\"}");
	assert_int_equal(RUN("reload"), 5);
	assert_string_equal(run_out, "");
	assert_string_equal(run_err, "policy.yaml:3:4: error: no\n"
	                             "overlayctl reload: the new policy is refused\n");
}

/* approve writes, then asks the daemon; what the daemon says is the end of the answer. */
static void test_approve_tells(void **state)
{
	(void)state;
	serve(NULL);
	assert_int_equal(RUN("init", "--no-key", "--name", "head1"), 0);
	run_spit("reload.answer", "{\"serial\":2,\"changed\":true,\"warnings\":\"\",\"rows\":[]}");
	assert_int_equal(run("", "id", "--state", "other", "--name", "n2", "--json", NULL), 0);
	{
		json_t *id = json_loads(run_out, 0, NULL);
		const char *key = json_string_value(json_object_get(id, "key"));

		assert_int_equal(RUN("approve", "n2", key, "--role", "exec"), 0);
		json_decref(id);
	}
	assert_says(run_out, "n2 is approved, serial 2\n");
	assert_says(run_out, "\noverlayd: serial 2 is in force\n");
	run_spit("reload.answer", "!{\"report\":\"\"}");
	assert_int_equal(RUN("revoke", "n2"), 5);
	assert_says(run_out, "n2 is revoked, serial 3\n");
	assert_says(run_err, "the new policy is refused");
}

#define MEMBER(name, serial, state)                                                                \
	"{\"name\":\"" name "\",\"self\":false,\"seed\":false,\"serial\":" serial                  \
	",\"applied\":false,\"said\":90,\"release\":\"0.1.0\",\"state\":\"" state                  \
	"\",\"session\":false,\"why\":\"\"}"
#define MEMBERS(n1, n2)                                                                            \
	"{\"serial\":8,\"digest\":\"ab\",\"n_members\":5,\"n_applied\":3,\"now\":100,"             \
	"\"members\":[" MEMBER("far", n1, "indirect") "," MEMBER("head1", "8", "self") "," MEMBER( \
	        "n1", n1, "up") "," MEMBER("n2", n2, "up") "," MEMBER("off", "7",                  \
	        "down") "," MEMBER("unheard", "null", "indirect") "]}"
#define LOADED                                                                                     \
	"{\"verdict\":\"applied\",\"serial\":8,\"changed\":true,\"warnings\":\"\",\"rows\":[]}"

#define WHO                                                                                        \
	"{\"serial\":8,\"digest\":\"ab\",\"n_members\":2,\"n_applied\":2,\"now\":100,\"members\":" \
	"["                                                                                        \
	"{\"name\":\"node17\",\"self\":false,\"seed\":false,\"guest\":\"burst\",\"serial\":8,"     \
	"\"applied\":true,\"said\":90,\"release\":\"0.1.0\",\"state\":\"up\",\"session\":false,"   \
	"\"fingerprint\":\"SHA256:P+vjLwUsXZcSWwRfAl6/PQiJbF7/V1Vs4u4JYEvSF4U\","                  \
	"\"address4\":\"10.77.0.17\",\"address6\":\"fd76:56f9:679d:6325:11c4:1c87:9d86:8c3a\","    \
	"\"site\":\"aws\",\"links\":[\"192.0.2.17:4500\",\"[2001:db8::17]:4500\"],\"why\":\"\"},"  \
	"{\"name\":\"seed1\",\"self\":true,\"seed\":true,\"guest\":null,\"serial\":8,"             \
	"\"applied\":true,\"said\":100,\"release\":\"0.1.0\",\"state\":\"self\",\"session\":"      \
	"false,"                                                                                   \
	"\"fingerprint\":\"SHA256:x\\u001b[31m\",\"address4\":null,\"address6\":\"fd76::1\","      \
	"\"site\":\"hq\",\"links\":[],\"why\":\"\"}]}"

/* What fits a line, and all of it. */
static void test_members(void **state)
{
	(void)state;
	serve(NULL);
	run_spit("members.answer", WHO);
	run_spit("members2.answer", WHO);
	assert_int_equal(RUN("members"), 0);
	assert_string_equal(run_out,
	        "serial 8, applied by 2 of 2 members\n\n"
	        "MEMBER  ADDRESS     SITE  SERIAL  HEARD  STATE  ROLE            RELEASE\n"
	        "node17  10.77.0.17  aws        8    10s  up     guest of burst  0.1.0\n"
	        "seed1   fd76::1     hq         8     0s  self   seed            0.1.0\n");
	assert_int_equal(RUN("members", "--long"), 0);
	assert_string_equal(run_out,
	        "serial 8, applied by 2 of 2 members\n\n"
	        "node17\n"
	        "  tunnel    up\n"
	        "  serial    8, heard 10s ago\n"
	        "  release   0.1.0\n"
	        "  role      guest of burst\n"
	        "  site      aws\n"
	        "  key       SHA256:P+vjLwUsXZcSWwRfAl6/PQiJbF7/V1Vs4u4JYEvSF4U\n"
	        "  address   10.77.0.17, fd76:56f9:679d:6325:11c4:1c87:9d86:8c3a\n"
	        "  links     192.0.2.17:4500, [2001:db8::17]:4500\n"
	        "seed1\n"
	        "  tunnel    self\n"
	        "  serial    8\n"
	        "  release   0.1.0\n"
	        "  role      seed\n"
	        "  site      hq\n"
	        "  key       SHA256:x?[31m\n"
	        "  address   fd76::1\n"
	        "  links     none\n");
}

/* --wait returns as soon as all that can be reached have it, and names the others. */
static void test_wait(void **state)
{
	(void)state;
	serve(NULL);
	run_spit("load.answer", LOADED);
	run_spit("one", "text\n");
	run_spit("one.minisig", "untrusted comment: a\nRUQAAA==\ntrusted comment: b\nAAAA\n");
	run_spit("members.answer", MEMBERS("7", "8"));
	run_spit("members2.answer", MEMBERS("8", "9"));
	assert_int_equal(RUN("load", "--signature", "one.minisig", "--wait=60", "one"), 0);
	assert_says(run_out, "overlayd: serial 8 is in force\n");
	assert_says(run_out, "serial 8 is in force on 4 of 4 members that can be reached\n");
	assert_says(run_out, "not reachable, each gets it when it comes back: off, unheard\n");
	/* What the tool signed apart is put together. */
	assert_int_equal(RUN("load", "one"), 0);
	{
		char path[PATH_MAX], got[4096];

		snprintf(path, sizeof(path), "%s/load.got", run_dir);
		run_slurp(path, got, sizeof(got));
		assert_string_equal(got, "text\nuntrusted comment: a\nRUQAAA==\n"
		                         "trusted comment: b\nAAAA\n");
	}
	/* Some have it not in time. */
	run_spit("members2.answer", MEMBERS("7", "8"));
	assert_int_equal(RUN("load", "--wait=1", "one"), 1);
	assert_says(run_out, "serial 8 is in force on 2 of 4 members that can be reached\n"
	                     "without it, in spite of a connection: far, n1\n");
	assert_int_equal(RUN("load", "--wait=0", "--json", "one"), 1);
	assert_says(run_out, "\"missing\": [");
	assert_int_equal(RUN("load", "--wait=soon", "one"), 2);
	assert_int_equal(RUN("members"), 1);
	assert_says(run_out, "serial 8, applied by 3 of 5 members\n");
	assert_says(run_out, "\nunheard  unknown    10s  indirect  0.1.0\n");
	/* No way to tell. */
	run_spit("load.answer", "!{}");
	assert_int_equal(RUN("load", "--wait", "one"), 5);
	assert_says(run_err, "the new policy is refused");
}

/* Refused by the daemon: not one byte of the files is another. */
static void test_refused_is_taken_back(void **state)
{
	static const char key[] =
	        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID1AF8PoQ4lakrcKp00bfrycmCzPLsSWjMDNVfEq9GYM";
	char command[PATH_MAX];

	(void)state;
	serve(NULL);
	status_put("ready", "", "[]"); /* whose node it is: revoke asks */
	run_spit("load.answer", "!{}");
	assert_int_equal(RUN("init", "--name", "head1", "--no-passphrase"), 0);
	snprintf(command, sizeof(command), "cp -r %s/etc %s/before", run_dir, run_dir);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command), "diff -r %s/etc %s/before", run_dir, run_dir);
	assert_int_equal(RUN("approve", "n2", key), 5);
	assert_says(run_err, "nothing was changed");
	assert_int_equal(system(command), 0);
	/* Loaded it is there; a revocation that is refused leaves it there. */
	run_spit("load.answer", LOADED);
	assert_int_equal(RUN("approve", "n2", key), 0);
	assert_says(run_out, "overlayd: serial 8 is in force");
	assert_int_not_equal(system(command), 0);
	snprintf(command, sizeof(command), "rm -r %s/before; cp -r %s/etc %s/before", run_dir,
	        run_dir, run_dir);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command), "diff -r %s/etc %s/before", run_dir, run_dir);
	run_spit("load.answer", "!{}");
	assert_int_equal(RUN("revoke", "n2"), 5);
	assert_int_equal(system(command), 0);
	/* A serial that was raised for it goes back too. */
	assert_int_equal(RUN("sign"), 0);
	run_spit("one", run_out);
	{
		char edit[PATH_MAX];

		snprintf(edit, sizeof(edit),
		        "for d in etc before; do sed -i 's/timezone: UTC/behind_nat: true/' "
		        "%s/$d/policy.yaml; done",
		        run_dir);
		assert_int_equal(system(edit), 0);
	}
	assert_int_equal(RUN("sign", "--load", "--parent", "one"), 5);
	assert_says(run_out, "serial 3 follows serial 2");
	assert_int_equal(system(command), 0);
	run_spit("load.answer", LOADED);
	assert_int_equal(RUN("revoke", "n2"), 0);
	assert_false(run_has("etc/peers.d/n2.yaml"));
}

static void test_doctor(void **state)
{
	(void)state;
	serve(NULL);
	run_spit("doctor.answer",
	        "{\"checks\":[{\"name\":\"data plane\",\"level\":\"warn\",\"text\":"
	        "\"kernel-libipsec\",\"mend\":\"modprobe esp4\"}]}");
	RUN("doctor");
	/* How wide the column is depends on this machine's other findings. */
	assert_says(run_out, "\nwarn  data plane ");
	assert_says(run_out, " kernel-libipsec\n        to mend ");
	assert_says(run_out, " modprobe esp4\n");
	assert_null(strstr(run_out, "UDP port")); /* the daemon's to tell */
	assert_null(strstr(run_out, "systemctl start overlayd\n"));
	assert_says(run_out, "rights");
}

/* --watch --json: each event is a line; the end of the daemon is the end. */
static void test_watch(void **state)
{
	char out[PATH_MAX], line[1024] = "", binary[PATH_MAX];
	pid_t watcher;
	int status;

	(void)state;
	serve(NULL);
	status_put("ready", "", "[]");
	run_spit("reload.answer", "{\"serial\":8,\"changed\":false,\"warnings\":\"\",\"rows\":[]}");
	run_binary(binary, sizeof(binary));
	snprintf(out, sizeof(out), "%s/events", run_dir);
	fflush(NULL);
	watcher = fork();
	if (!watcher) {
		if (chdir(run_dir) < 0 || !freopen("events", "w", stdout) ||
		        !freopen("/dev/null", "w", stderr))
			_exit(98);
		execl(binary, "overlayctl", "--socket", "admin.sock", "status", "--watch", "--json",
		        (char *)NULL);
		_exit(99);
	}
	/* It may not have subscribed yet: ask until it has heard one. */
	for (int i = 0; i < 500 && !strchr(line, '\n'); i++) {
		assert_int_equal(RUN("reload"), 0);
		poll(NULL, 0, 10);
		if (!access(out, F_OK))
			run_slurp(out, line, sizeof(line));
	}
	*strchrnul(line, '\n') = '\0';
	assert_string_equal(line, "{\"event\":\"policy\",\"data\":{\"serial\":8,\"changed\":false,"
	                          "\"warnings\":\"\",\"rows\":[]}}");
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	server = 0;
	assert_int_equal(waitpid(watcher, &status, 0), watcher);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
}

/* Who may not open the socket is told so, with its own exit code. */
static void test_permission(void **state)
{
	char command[PATH_MAX * 2], binary[PATH_MAX];

	(void)state;
	if (getuid()) {
		print_message("needs root\n");
		skip();
	}
	serve(NULL);
	status_put("ready", "", "[]");
	run_binary(binary, sizeof(binary));
	*strrchr(run_dir, '/') = '\0';
	assert_int_equal(chmod(run_dir, 0755), 0);
	strcat(run_dir, "/w");
	/* A copy: nobody may be unable to reach where it was built. */
	snprintf(command, sizeof(command), "cp %s %s/ctl && chmod 755 %s/ctl", binary, run_dir,
	        run_dir);
	assert_int_equal(system(command), 0);
	snprintf(command, sizeof(command),
	        "cd / && setpriv --reuid=65534 --regid=65534 --clear-groups %s/ctl --socket "
	        "%s/admin.sock status 2>%s/err >/dev/null",
	        run_dir, run_dir, run_dir);
	assert_int_equal(WEXITSTATUS(system(command)), 4);
	snprintf(command, sizeof(command), "%s/err", run_dir);
	run_slurp(command, run_err, sizeof(run_err));
	assert_says(run_err, "permission denied; be root or in the socket's group");
}

/* ---- newcomers ---- */

#define KEY_A "AAAAC3NzaC1lZDI1NTE5AAAAIGq58euPfTOI9PnVhvZumf1UCA3yxEbw5YZosJwIoW1Q"
#define KEY_B "AAAAC3NzaC1lZDI1NTE5AAAAIHq58euPfTOI9PnVhvZumf1UCA3yxEbw5YZosJwIoW1Q"
#define WAITS(name, print, key)                                                                    \
	"{\"kind\":\"join\",\"name\":\"" name "\",\"fingerprint\":\"SHA256:" print                 \
	"\",\"key\":\"ssh-ed25519 " key                                                            \
	"\",\"source\":\"198.51.100.17\",\"site\":\"aws\",\"links\":[],\"release\":\"0.1.0\","     \
	"\"since\":40,\"asked\":97,\"marks\":[\"another key asks for this name too\"]}"
#define PENDING(entries)                                                                           \
	"{\"now\":100,\"seed\":true,\"seeds\":[\"head1\"],\"why\":\"\",\"pending\":[" entries "]}"
#define TWO WAITS("node17", "abcdefghijk1", KEY_A) "," WAITS("node17", "abcdefghijk2", KEY_B)

static void test_pending(void **state)
{
	(void)state;
	serve(NULL);
	run_spit("pending.answer", PENDING(""));
	assert_int_equal(RUN("pending"), 0);
	assert_string_equal(run_out, "nobody waits\n");
	run_spit("pending.answer", PENDING(TWO));
	assert_int_equal(RUN("pending"), 0);
	assert_says(run_out,
	        "NAME    TO    FINGERPRINT          SITE  FROM             AGE  ASKED  "
	        "RELEASE  BEWARE\n");
	assert_says(run_out,
	        "node17  join  SHA256:abcdefghijk1  aws   198.51.100.17  1m00s     3s  0.1.0    "
	        "another key asks for this name too\n");
	assert_int_equal(RUN("pending", "--json"), 0);
	assert_says(run_out, "\"fingerprint\": \"SHA256:abcdefghijk2\"");
	run_spit("pending.answer", "{\"now\":100,\"seed\":false,\"seeds\":[\"head1\"],\"why\":"
	                           "\"this node is no seed\",\"pending\":[]}");
	assert_int_equal(RUN("pending"), 0);
	assert_string_equal(run_out,
	        "newcomers cannot ask here: this node is no seed; the seeds are "
	        "head1\n");
	assert_int_equal(RUN("approve", "node17", "abcdefghijk1"), 5);
	assert_says(run_err, "run this on head1");
}

/* Only one that name and fingerprint together mean. */
static void test_approve_pending(void **state)
{
	(void)state;
	serve(NULL);
	assert_int_equal(RUN("init", "--no-key", "--name", "head1"), 0);
	run_spit("reload.answer", "{\"serial\":2,\"changed\":true,\"warnings\":\"\",\"rows\":[]}");
	run_spit("pending.answer", PENDING(TWO));
	assert_int_equal(RUN("approve", "node17"), 2);
	assert_says(run_err, "a name alone is anybody's");
	assert_int_equal(RUN("approve", "node17", "SHA256:abcdefg"), 2);
	assert_says(run_err, "at least 8 letters");
	assert_int_equal(RUN("approve", "node17", "SHA256:abcdefghijk"), 5);
	assert_says(run_err, "2 newcomers match");
	assert_int_equal(RUN("approve", "node18", "SHA256:abcdefghijk1"), 5);
	assert_says(run_err, "no newcomer node18 with a key SHA256:abcdefghijk1 waits here");
	assert_int_equal(RUN("approve", "node17", "bcdefghijk1"), 5);
	assert_int_equal(RUN("approve", "node17", "SHA256:abcdefghijk2", "--role", "exec"), 0);
	assert_says(run_out, "node17 is approved, serial 2\n");
	{
		char path[PATH_MAX], text[4096];

		snprintf(path, sizeof(path), "%s/etc/peers.d/node17.yaml", run_dir);
		run_slurp(path, text, sizeof(text));
		assert_says(text, KEY_B " node17");
	}
}

static void test_reject(void **state)
{
	char path[PATH_MAX], got[256];
	(void)state;

	serve(NULL);
	run_spit("pending.answer", PENDING(TWO));
	run_spit("reject.answer", "{\"name\":\"node17\"}");
	assert_int_equal(RUN("reject", "abcdefghijk"), 5);
	assert_int_equal(RUN("reject", "abcdefghijk1"), 0);
	assert_string_equal(
	        run_out, "node17 with the key SHA256:abcdefghijk1 is refused here for a day\n");
	snprintf(path, sizeof(path), "%s/reject.got", run_dir);
	run_slurp(path, got, sizeof(got));
	assert_string_equal(got, "SHA256:abcdefghijk1");
}

#define JOIN(state, why)                                                                           \
	"{\"state\":\"" state                                                                      \
	"\",\"cluster\":\"hpc\",\"name\":\"node17\",\"seed\":\"head1\",\"why\":\"" why             \
	"\",\"since\":1}"
#define STATUS(join)                                                                               \
	"{\"state\":\"starting\",\"node\":{\"fingerprint\":\"SHA256:mine\"},\"join\":" join "}"

/* Of cluster hpc, one seed, keys of zeros; the other one with a token. */
#define TICKET                                                                                     \
	"ovl1-ABGUA2hwYwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABBWhlYWQxAAA"         \
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAKMTkyLjAuMi4xMBGUDlKE0u5nOHg"
#define TICKET_SECRET                                                                              \
	"ovl1-secret-ARGUA2hwYwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABBWhl"         \
	"YWQxAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAKMTkyLjAuMi4xMBGUBWJ1cnN0AAAAAAAA"         \
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABKhfrSK7Sd7g"

static void test_join(void **state)
{
	char bad[] = TICKET;
	(void)state;

	serve(NULL);
	run_spit("status.answer", STATUS(JOIN("asking", "")));
	run_spit("join.answer", JOIN("pending", "waits"));
	run_spit("status2.answer", STATUS(JOIN("joined", "all have admitted it")));
	assert_int_equal(RUN("join", TICKET, "--name", "node17"), 0);
	assert_string_equal(run_out,
	        "joining hpc by 1 seed; this node's key is SHA256:mine\n"
	        "head1 has the request; an admin is to compare the key and approve it there:\n"
	        "  overlayctl approve node17 SHA256:mine\n"
	        "asking\n"
	        "joined: all have admitted it\n");
	run_spit("join.answer", JOIN("refused", "head1: this key was rejected"));
	assert_int_equal(RUN("join", TICKET_SECRET), 5);
	assert_says(run_out, "refused: head1: this key was rejected\n");
	assert_says(run_err, "overlayctl join --cancel");
	assert_int_equal(RUN("join", "--no-wait", TICKET), 0);
	assert_says(run_out, "the daemon goes on with it");
	run_spit("ticket", TICKET);
	assert_int_equal(RUN("join", "--no-wait", "--file", "ticket"), 0);
	assert_int_equal(run_shell("$CTL --socket admin.sock join --no-wait - < ticket"), 0);
	assert_says(run_out, "the daemon goes on with it");
	assert_int_equal(run_shell("$CTL --socket admin.sock join --no-wait - </dev/null"), 5);
	assert_says(run_err, "this is no ticket");
	run_spit("join.answer", "!{}");
	assert_int_equal(RUN("join", TICKET), 5);
	assert_int_equal(RUN("join"), 2);
	assert_int_equal(RUN("join", "a", "b"), 2);
	bad[20] = bad[20] == 'A' ? 'B' : 'A';
	assert_int_equal(RUN("join", bad), 5);
	assert_says(run_err, "a character of it is wrong");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(test_status),
	        T(test_lists),
	        T(test_reload),
	        T(test_approve_tells),
	        T(test_members),
	        T(test_wait),
	        T(test_pending),
	        T(test_approve_pending),
	        T(test_reject),
	        T(test_join),
	        T(test_refused_is_taken_back),
	        T(test_doctor),
	        T(test_watch),
	        T(test_permission),
	};

	return cmocka_run_group_tests_name("control_ctl", tests, NULL, NULL);
}
