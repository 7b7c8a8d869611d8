/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hosts line of nsswitch.conf, one service left out. */
#include "host/nsswitch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void without(const char *text, const char *want)
{
	char *out = nsswitch_hosts_without(text, "overlay");

	if (want)
		assert_string_equal(out, want);
	else
		assert_null(out);
	free(out);
}

static void left_out(void **state)
{
	(void)state;
	without("hosts: files overlay dns\n", "files dns");
	without("passwd: files\n\n# hosts: no\nhosts:\tfiles\toverlay dns", "files dns");
	without("  hosts :overlay files\nhosts: dns\n", "files");
	without("hosts: files overlay\n", "files");
	without("hosts: overlay\n", "files");
	without("hosts: files overlay # dns\n", "files");
	without("hosts: overlay dns overlay\n", "dns");
}

static void actions_go_with_it(void **state)
{
	(void)state;
	without("hosts: files overlay [NOTFOUND=return] dns\n", "files dns");
	without("hosts: overlay [ !UNAVAIL=return  SUCCESS=merge ] [x] dns [A=b] myhostname\n",
	        "dns [A=b] myhostname");
	without("hosts: files[NOTFOUND=continue]overlay[NOTFOUND=return]dns\n",
	        "files [NOTFOUND=continue] dns");
	without("hosts: overlay [NOTFOUND=return", "files");
}

static void not_in_it(void **state)
{
	(void)state;
	without("hosts: files dns\n", NULL);
	without("hosts: files overlays myoverlay [overlay] # overlay\n", NULL);
	without("passwd: overlay\nhostsx: overlay\n", NULL);
	without("hosts: dns\nhosts: overlay\n", NULL); /* the first counts */
	without("hosts", NULL);
	without("hosts:", NULL);
	without("", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(left_out),
	        cmocka_unit_test(actions_go_with_it),
	        cmocka_unit_test(not_in_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
