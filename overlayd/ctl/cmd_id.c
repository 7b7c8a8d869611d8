/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "client/nodekey.h"
#include "ctl/ctl.h"

struct id {
	const char *name;
	const char *address;
	const char *site;
	struct policy_key key;
	char key_text[96];
	char fingerprint[POLICY_FINGERPRINT_LEN];
	char host[POLICY_NAME_MAX + 1];
};

/* The host's name as far as it may be a peer's: its first label, without what a name cannot have.
 */
void ctl_host_name(char *name)
{
	char full[256] = "";
	size_t len = 0;

	if (gethostname(full, sizeof(full) - 1) < 0)
		full[0] = '\0';
	for (const char *at = full; *at && *at != '.' && len < POLICY_NAME_MAX; at++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-",
		            *at) &&
		        (len || (*at != '_' && *at != '-')))
			name[len++] = *at;
	while (len && (name[len - 1] == '-' || name[len - 1] == '_'))
		len--;
	name[len] = '\0';
	if (!len)
		strcpy(name, "node");
}

/* What the admin pastes below `peers:`; what only the admin can know is left as "...". */
static void tell(const struct id *id)
{
	printf("%s: { key: \"%s %s\"", id->name, id->key_text, id->name);
	printf(", address: %s", id->address ? id->address : "...");
	printf(", site: %s", id->site ? id->site : "...");
	puts(", roles: [] }");
	printf("# fingerprint: %s\n", id->fingerprint);
	if (!id->address || !id->site)
		fprintf(stderr,
		        "Fill in the dots and the roles, or let a node that has the policy do it:\n"
		        "overlayctl approve %s \"%s\" --site SITE --role ROLE\n",
		        id->name, id->key_text);
}

static int tell_json(const struct id *id)
{
	return ctl_print_json(
	        json_pack("{s:s, s:s, s:s, s:s?, s:s?}", "name", id->name, "key", id->key_text,
	                "fingerprint", id->fingerprint, "address", id->address, "site", id->site));
}

static int options_read(struct ctl *ctl, int argc, char **argv, struct id *id)
{
	struct policy_addr addr;
	int option;

	while ((option = ctl_option(ctl, argc, argv)) != -1) {
		if (option == 'n')
			id->name = optarg;
		else if (option == 'a')
			id->address = optarg;
		else
			id->site = optarg;
	}
	if (argc > optind)
		return ctl_usage(ctl, "no arguments are taken");
	if (id->address && (policy_addr_parse(id->address, &addr) < 0 || addr.family != AF_INET))
		return ctl_usage(ctl, "--address %s: is no IPv4 address", id->address);
	return CTL_OK;
}

static int run_id(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_MAX], err[512];
	struct id id = {0};
	bool made;
	int rc = options_read(ctl, argc, argv, &id);

	if (rc)
		return rc;
	rc = nodekey_ensure(
	        ctl_key_path(ctl, path, sizeof(path)), id.key.raw, &made, err, sizeof(err));
	if (rc < 0) {
		ctl_error(ctl, "%s", err);
		return ctl_exit_of(rc) == CTL_PERMISSION ? CTL_PERMISSION : CTL_FAILED;
	}
	if (made)
		fprintf(stderr, "%s: made this node's key\n", path);
	ctl_host_name(id.host);
	id.name = id.name ? id.name : id.host;
	policy_key_print(&id.key, id.key_text, sizeof(id.key_text));
	policy_key_fingerprint(&id.key, id.fingerprint);
	if (ctl->json)
		return tell_json(&id);
	tell(&id);
	return CTL_OK;
}

static const struct option options[] = {
        {"name", required_argument, NULL, 'n'},
        {"address", required_argument, NULL, 'a'},
        {"site", required_argument, NULL, 's'},
        {0},
};

const struct ctl_command ctl_cmd_id = {
        .name = "id",
        .args = "[--name NAME] [--address ADDR] [--site SITE]",
        .summary = "this node's line to paste into a policy, and its fingerprint",
        .help = "  --name NAME    instead of the host's name\n"
                "  --address ADDR its overlay IPv4 address\n"
                "  --site SITE    its site\n\n"
                "Makes STATE/node.key if there is none yet. The key shown is the public half.\n",
        .options = options,
        .run = run_id,
};
