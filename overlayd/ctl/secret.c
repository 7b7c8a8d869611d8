/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <openssl/crypto.h>

#define CANCELLED 3 /* ^C: while echo is off it is a character, or the echo would stay off */

static int fail_file(struct ctl *ctl, const char *path, int error)
{
	ctl_error(ctl, "%s: %s", path, strerror(-error));
	return error == -EACCES || error == -EPERM || error == -EROFS ? CTL_PERMISSION : CTL_FAILED;
}

void secret_guard(void)
{
	prctl(PR_SET_DUMPABLE, 0);
}

/* ---- passphrases */

/* A line without its newline; -E2BIG, -ECANCELED, other errno. */
static int line_read(int fd, char *buf, size_t size)
{
	size_t n = 0;

	for (;;) {
		char c;
		ssize_t got = read(fd, &c, 1);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0 || c == CANCELLED)
			return -ECANCELED;
		if (c == '\n')
			break;
		if (n < size)
			buf[n] = c;
		n++;
	}
	if (n >= size)
		return -E2BIG;
	buf[n] = '\0';
	return 0;
}

static int hidden_read(int tty, const char *prompt, char *buf, size_t size)
{
	struct termios old, hidden;
	int ret;

	if (tcgetattr(tty, &old))
		return -errno;
	hidden = old;
	hidden.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
	if (tcsetattr(tty, TCSAFLUSH, &hidden))
		return -errno;
	dprintf(tty, "%s", prompt);
	ret = line_read(tty, buf, size);
	tcsetattr(tty, TCSAFLUSH, &old);
	dprintf(tty, "\n");
	return ret;
}

static int ask_fail(struct ctl *ctl, int error)
{
	if (error == -E2BIG)
		ctl_error(ctl, "a passphrase has at most %u bytes", MINISIGN_PASSPHRASE_MAX);
	else if (error == -ECANCELED)
		ctl_error(ctl, "cancelled; nothing was done");
	else
		ctl_error(ctl, "the terminal cannot be read: %s", strerror(-error));
	return CTL_FAILED;
}

static int ask(struct ctl *ctl, int tty, bool twice, char buf[MINISIGN_PASSPHRASE_MAX + 1])
{
	char again[MINISIGN_PASSPHRASE_MAX + 1] = "";
	int ret = hidden_read(tty, "Passphrase of the cluster key: ", buf, sizeof(again)), differ;

	if (ret == 0 && !*buf) {
		ctl_error(ctl, "an empty passphrase protects nothing%s",
		        twice ? ": --no-passphrase makes a key without" : "");
		return CTL_FAILED;
	}
	if (ret == 0 && twice)
		ret = hidden_read(tty, "The same again: ", again, sizeof(again));
	differ = ret == 0 && twice && strcmp(buf, again) != 0;
	OPENSSL_cleanse(again, sizeof(again));
	if (ret)
		return ask_fail(ctl, ret);
	if (!differ)
		return CTL_OK;
	ctl_error(ctl, "the two passphrases differ; nothing was done");
	return CTL_FAILED;
}

/* The first line; "-" is stdin. */
static int file_ask(struct ctl *ctl, const char *path, char buf[MINISIGN_PASSPHRASE_MAX + 1])
{
	int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : STDIN_FILENO;
	int ret = fd < 0 ? -errno : line_read(fd, buf, MINISIGN_PASSPHRASE_MAX + 1);

	if (fd > STDIN_FILENO)
		close(fd);
	if (ret == -ECANCELED || (!ret && !*buf))
		ctl_error(ctl, "%s: there is no passphrase in its first line", path);
	else if (ret == -E2BIG)
		return ask_fail(ctl, ret);
	else if (ret)
		return fail_file(ctl, path, ret);
	return ret || !*buf ? CTL_FAILED : CTL_OK;
}

int secret_ask(struct ctl *ctl, bool twice, char buf[MINISIGN_PASSPHRASE_MAX + 1])
{
	int tty, rc;

	if (ctl->passphrase_file)
		return file_ask(ctl, ctl->passphrase_file, buf);
	tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tty < 0) {
		ctl_error(ctl, "there is no terminal to ask for the passphrase of the key: %s",
		        twice ? "--passphrase-file reads it from a file, --no-passphrase makes a "
		                "key without"
		              : "--passphrase-file reads it from a file");
		return CTL_FAILED;
	}
	rc = ask(ctl, tty, twice, buf);
	close(tty);
	return rc;
}

/* ---- files */

/* Up to max bytes and one more, so that more is seen. */
static int all_read(int fd, char **data, size_t *len, size_t max)
{
	size_t cap = 65536, n = 0;
	char *buf = malloc(cap), *more;

	while (buf) {
		ssize_t got = read(fd, buf + n, cap - n - 1);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 || (n += (size_t)got) > max) {
			int error = got < 0 ? -errno : -EFBIG;

			OPENSSL_cleanse(buf, n);
			free(buf);
			return error;
		}
		if (got == 0) {
			buf[n] = '\0';
			*data = buf;
			*len = n;
			return 0;
		}
		if (cap - n > 1)
			continue;
		more = realloc(buf, cap * 2);
		if (!more)
			free(buf);
		buf = more;
		cap *= 2;
	}
	return -ENOMEM;
}

int secret_file_read(struct ctl *ctl, const char *path, size_t max, char **data, size_t *len)
{
	bool in = !strcmp(path, "-");
	int fd = in ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return fail_file(ctl, path, -errno);
	ret = all_read(fd, data, len, max);
	if (!in)
		close(fd);
	return ret ? fail_file(ctl, path, ret) : CTL_OK;
}

int secret_file_make(const char *path, unsigned mode, const char *text)
{
	size_t len = strlen(text), done = 0;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), ret = 0;

	if (fd < 0)
		return -errno;
	while (!ret && done < len) {
		ssize_t n = write(fd, text + done, len - done);

		if (n < 0 && errno != EINTR)
			ret = -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	if (!ret && (fchmod(fd, mode) || fsync(fd)))
		ret = -errno;
	if (close(fd) && !ret)
		ret = -errno;
	if (ret)
		unlink(path);
	return ret;
}

/* Only its owner may read a secret key; a passphrase does not change that. */
static int rights_check(struct ctl *ctl, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return fail_file(ctl, path, -errno);
	if (!(st.st_mode & 077))
		return CTL_OK;
	ctl_error(ctl, "%s: others may read this secret key: chmod 600 %s", path, path);
	return CTL_FAILED;
}

int secret_read(struct ctl *ctl, const char *path, struct minisign_secret *out)
{
	char *text, err[MINISIGN_ERROR_MAX], passphrase[MINISIGN_PASSPHRASE_MAX + 1];
	size_t len;
	int rc = rights_check(ctl, path), ret;

	if (!rc)
		rc = secret_file_read(ctl, path, MINISIGN_TEXT_MAX, &text, &len);
	if (rc)
		return rc;
	ret = minisign_secret_parse(text, len, NULL, out, err, sizeof(err));
	if (ret == -ENOKEY) {
		rc = secret_ask(ctl, false, passphrase);
		if (!rc)
			ret = minisign_secret_parse(text, len, passphrase, out, err, sizeof(err));
		OPENSSL_cleanse(passphrase, sizeof(passphrase));
	}
	OPENSSL_cleanse(text, len);
	free(text);
	if (!rc && ret) {
		ctl_error(ctl, "%s: %s", path, err);
		rc = CTL_FAILED;
	}
	return rc;
}
