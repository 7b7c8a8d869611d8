/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A program as liboverlay-dev is meant for: prints overlayd's status. */
#include <overlay.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
	struct overlay *o;
	char *text = NULL;
	int rc = overlay_connect(&o, NULL, 2000);

	if (!rc)
		rc = overlay_request(o, "status", NULL, &text, 5000);
	puts(rc ? overlay_error(o) : text);
	free(text);
	overlay_close(o);
	return rc != 0;
}
