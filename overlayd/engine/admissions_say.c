/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Admissions on sessions, where the policy in force has tokens. Both sides say the sum of what they
 * have as soon as both may have the same bundle, and again when it is another.
 *
 * What is new is pushed at once: by the seed that let the guest in to everybody, by other seeds to
 * those that had what they had. Whoever's sum is not ours, though the bundle is, and stays so for a
 * while, is sent all that we have, a part at a time; again when ours has changed, and ever less often
 * when that is of no use. Members take their time with it, so that a
 * seed that lost its disk hears it from one and not from all.
 */
#include "engine/cluster_internal.h"

#include <errno.h>
#include <string.h>

#define SAY_US 500000
#define DIFFER_US 1000000      /* as long as nothing changes, */
#define DIFFER_MAX_US 30000000 /* and however often it does */
#define DIFFER_PEER_US 10000   /* members: at most so much more for each peer */
#define AGAIN_MIN_US 5000000
#define AGAIN_MAX_US 3600000000LL
#define PART 16384U /* bytes of a message: each costs the other some time to verify */
#define PART_ROOM (PART + 2 + POLICY_ADMISSION_MAX)
#define PARTS_FIRST 16 /* at once, then */
#define PARTS 2        /* in each */
#define PARTS_US 100000
#define ODD_BURST 32U /* faulty ones of another bundle: may be nobody's fault */
#define ODD_US 10000000
#define REPLACE_BURST 16U
#define REPLACE_US 30000000

static bool speaks(const struct cluster *c)
{
	return c->self && c->written && c->written->n_tokens;
}

static void due(struct cluster *c, int64_t *at, int64_t when)
{
	*at = when;
	if (when < c->adm_due)
		c->adm_due = when;
}

/* ---- out ---- */

/* What many are sent in one step is made once: the last message, and the parts of all there is. */
static const struct session_msg *message(struct cluster *c, const uint8_t *data, size_t len)
{
	const uint8_t *sum = admissions_sum(c);
	struct session_msg *msg = c->adm_msg;

	if (!sum ||
	        (msg && msg->data == data && msg->len == len && head_same(&msg->head, &c->head) &&
	                !memcmp(msg->sum, sum, sizeof(msg->sum))))
		return sum ? msg : NULL;
	msg = cl_arena(c, sizeof(*msg));
	if (!msg)
		return NULL;
	*msg = (struct session_msg){
	        .type = SESSION_ADMISSIONS, .head = c->head, .data = data, .len = len};
	memcpy(msg->sum, sum, sizeof(msg->sum));
	c->adm_msg = msg;
	return msg;
}

static bool send(struct cluster *c, struct sess *s, const uint8_t *data, size_t len)
{
	const struct session_msg *msg = message(c, data, len);

	if (!msg || !sess_send(c, s, msg, false))
		return false;
	memcpy(s->adm_told, msg->sum, sizeof(s->adm_told));
	s->adm_say_at = 0;
	return true;
}

/*
 * Records from the i-th on, `most` at most and as many as go into one message; 0: none are left, or
 * no memory.
 */
static size_t part(struct cluster *c, size_t *i, size_t most,
        bool (*wanted)(const struct admission *), uint8_t **out)
{
	size_t room = most * (2 + POLICY_ADMISSION_MAX), len = 0;
	uint8_t *data = cl_arena(c, room < PART_ROOM ? room : PART_ROOM);

	for (; data && *i < c->n_adms && len < PART && most; ++*i) {
		if (wanted && !wanted(c->adms[*i]))
			continue;
		len += admission_put(&c->adms[*i]->a, data + len);
		most--;
	}
	*out = data;
	return len;
}

/* The same of all, and of no others. */
static size_t part_of_all(struct cluster *c, size_t *i, uint8_t **out)
{
	struct adm_part *p = &c->adm_parts[*i % ADM_PARTS];

	if (!p->data || p->gen != c->adm_gen || p->from != *i) {
		c->adm_parted = true;
		p->from = p->to = *i;
		p->gen = c->adm_gen;
		p->len = part(c, &p->to, c->n_adms - *i, NULL, &p->data);
	}
	*i = p->to;
	*out = p->data;
	return p->len;
}

/* ---- all of it ---- */

static void all_begin(struct cluster *c, struct sess *s)
{
	struct member *m = s->m;

	m->adm_alls += m->adm_alls < 30;
	m->adm_next = c->now.mono_us + cl_backoff(c, m->adm_alls, AGAIN_MIN_US, AGAIN_MAX_US);
	s->adm_sending = true;
	s->adm_all = c->adm_gen + 1;
	memset(s->adm_sent, 0, sizeof(s->adm_sent));
}

static void all_send(struct cluster *c, struct sess *s, int parts)
{
	size_t i = admission_behind(c, s->adm_sent), len;
	uint8_t *data;

	while (parts-- > 0 && i < c->n_adms) {
		len = part_of_all(c, &i, &data);
		if (!len || !send(c, s, data, len))
			break; /* no memory: the rest later */
		memcpy(s->adm_sent, c->adms[i - 1]->digest, sizeof(s->adm_sent));
	}
	s->adm_sending = i < c->n_adms;
	/* They may have had no time for it, or not listened: once more, much later. */
	due(c, &s->adm_all_at, s->adm_sending ? c->now.mono_us + PARTS_US : s->m->adm_next);
}

/* ---- the same, or not ---- */

static int64_t patience(struct cluster *c, const struct sess *s)
{
	int64_t at = c->now.mono_us + DIFFER_US, most = s->adm_since + DIFFER_MAX_US;

	if (c->self_seed && !s->adm_met)
		at = c->now.mono_us;
	else if (!c->self_seed)
		at += cl_jitter(c, (int64_t)c->policy->n_peers * DIFFER_PEER_US + 1);
	at = at < most ? at : most;
	return at > s->m->adm_next ? at : s->m->adm_next;
}

/* They are to know what we have, if nothing tells them before. */
static void compare_ours(struct cluster *c, struct sess *s, const uint8_t *sum)
{
	if (!memcmp(s->adm_told, sum, sizeof(s->adm_told)))
		s->adm_say_at = 0;
	else if (!s->adm_say_at)
		due(c, &s->adm_say_at, c->now.mono_us + SAY_US);
}

/* By the last word of each: what is to follow from it? */
static void compare(struct cluster *c, struct sess *s)
{
	const uint8_t *sum = admissions_sum(c);

	if (!sum || !s->adm_said || !head_same(&s->adm_head, &c->head) || IMPAIRED(IMPAIR_NO_SUMS))
		return;
	compare_ours(c, s, sum);
	if (!memcmp(s->adm_theirs, sum, sizeof(s->adm_theirs))) {
		s->adm_all_at = s->adm_since = 0;
		s->adm_sending = false;
		s->adm_met = true;
		return;
	}
	if (!s->adm_since)
		s->adm_since = c->now.mono_us;
	if (c->n_adms && !s->adm_sending && s->adm_all != c->adm_gen + 1)
		due(c, &s->adm_all_at, patience(c, s));
	else if (c->n_adms && !s->adm_all_at)
		due(c, &s->adm_all_at, s->m->adm_next);
	s->adm_met = true;
}

void admissions_greet(struct cluster *c, struct sess *s)
{
	if (!speaks(c) || s->adm_said || !s->greeted)
		return;
	s->adm_said = send(c, s, NULL, 0);
	compare(c, s);
}

/* ---- what is new ---- */

static bool is_new(const struct admission *adm)
{
	return adm->push;
}

static bool is_ours(const struct admission *adm)
{
	return adm->push && adm->ours;
}

struct news {
	struct {
		const uint8_t *data;
		size_t len;
	} * parts;
	size_t n;
};

/* Without memory they are not pushed, and the sums tell. */
static void news_make(struct cluster *c, bool (*wanted)(const struct admission *), struct news *out)
{
	size_t n = 0, i = 0;

	*out = (struct news){0};
	for (size_t k = 0; k < c->n_adms; k++)
		n += wanted(c->adms[k]);
	if (!n)
		return;
	out->parts = cl_arena(c, (n * POLICY_ADMISSION_MAX / PART + 2) * sizeof(*out->parts));
	while (out->parts && i < c->n_adms) {
		uint8_t *data;
		size_t len = part(c, &i, n, wanted, &data);

		if (!len)
			break;
		out->parts[out->n].data = data;
		out->parts[out->n++].len = len;
	}
}

static bool news_send(struct cluster *c, struct sess *s, const struct news *news)
{
	if (!news->n)
		return false;
	for (size_t i = 0; i < news->n; i++)
		if (!send(c, s, news->parts[i].data, news->parts[i].len))
			return false;
	return true;
}

/*
 * Those that had what we had, have it again when they take what they are sent now. Who brought it
 * had another.
 */
static void spread_to(struct cluster *c, struct sess *s, const struct news *all,
        const struct news *ours, const uint8_t *sum)
{
	bool same = head_same(&s->adm_head, &c->head) &&
	            !memcmp(s->adm_theirs, c->adm_spread_sum, sizeof(s->adm_theirs));

	if (!s->up || !s->adm_said)
		return;
	if (!same) {
		news_send(c, s, ours);
	} else if (news_send(c, s, all)) {
		memcpy(s->adm_theirs, sum, sizeof(s->adm_theirs));
	}
	compare(c, s);
}

static void spread(struct cluster *c)
{
	const uint8_t *sum = admissions_sum(c);
	struct news all, ours;

	if (!sum)
		return;
	news_make(c, is_new, &all);
	news_make(c, is_ours, &ours);
	for (struct sess *s = c->sess_head; s; s = s->next)
		spread_to(c, s, &all, &ours, sum);
	for (size_t i = 0; i < c->n_adms; i++)
		c->adms[i]->push = false;
	c->adm_spread_any = true;
	c->adm_spread = c->adm_gen;
	memcpy(c->adm_spread_sum, sum, sizeof(c->adm_spread_sum));
}

/* ---- the end of the step ---- */

static void sess_due(struct cluster *c, struct sess *s)
{
	const uint8_t *sum = admissions_sum(c);

	if (s->adm_say_at && c->now.mono_us >= s->adm_say_at && sum &&
	        memcmp(s->adm_told, sum, sizeof(s->adm_told)) != 0)
		send(c, s, NULL, 0);
	if (s->adm_all_at && c->now.mono_us >= s->adm_all_at) {
		bool more = s->adm_sending;

		s->adm_all_at = 0;
		if (!more)
			all_begin(c, s);
		all_send(c, s, more ? PARTS : PARTS_FIRST);
	}
	if (s->adm_say_at && s->adm_say_at <= c->now.mono_us)
		s->adm_say_at = c->now.mono_us + SAY_US; /* no memory */
	if (s->adm_say_at && s->adm_say_at < c->adm_due)
		c->adm_due = s->adm_say_at;
	if (s->adm_all_at && s->adm_all_at < c->adm_due)
		c->adm_due = s->adm_all_at;
}

void admissions_tick(struct cluster *c)
{
	if (!speaks(c))
		return;
	if (c->adm_spread != c->adm_gen || !c->adm_spread_any)
		spread(c);
	if (c->now.mono_us < c->adm_due)
		return;
	c->adm_due = ENGINE_NEVER;
	for (struct sess *s = c->sess_head; s; s = s->next)
		if (s->up && s->adm_said)
			sess_due(c, s);
}

int64_t admissions_wakeup(const struct cluster *c)
{
	return speaks(c) ? c->adm_due : ENGINE_NEVER;
}

/* ---- in ---- */

/* A few at once, and then one in each `every`: how many there are still to go? */
static uint32_t left(struct cluster *c, uint32_t *n, int64_t *at, uint32_t burst, int64_t every)
{
	int64_t more = (c->now.mono_us - *at) / every;

	*at += more * every;
	*n = more < *n ? *n - (uint32_t)more : 0;
	return burst - *n;
}

bool member_may_replace(struct cluster *c, struct member *m)
{
	return left(c, &m->adm_replaced, &m->adm_replaced_us, REPLACE_BURST, REPLACE_US) &&
	       ++m->adm_replaced;
}

static void tell_faulty(struct cluster *c, struct member *m)
{
	if (member_may_tell(c, m))
		cl_notice(c, ENGINE_WARNING, ENGINE_N_JOIN_REFUSED, m,
		        "%s told of a guest that its token or its seed did not sign for: it is "
		        "passed over.",
		        m->name);
}

/*
 * Who has the same bundle in force verified it as we do. By another, the seed may have another key:
 * that is looked into only so often. False: the rest is not looked at.
 */
static bool may_go_on(struct cluster *c, struct member *m, bool same)
{
	if (IMPAIRED(IMPAIR_NO_STRIKES))
		return true;
	if (same)
		return c->now.mono_us >= m->deaf_until;
	return left(c, &m->adm_odd, &m->adm_odd_us, ODD_BURST, ODD_US);
}

static void faulty(struct cluster *c, struct member *m, bool same)
{
	if (same) {
		member_strike(c, m, 1);
		tell_faulty(c, m);
	} else {
		m->adm_odd++;
	}
}

static void take(struct cluster *c, struct sess *s, const struct session_msg *msg)
{
	bool same = head_same(&msg->head, &c->head);
	const uint8_t *at = msg->data;
	size_t todo = msg->len;

	while (todo > 2 && may_go_on(c, s->m, same)) {
		size_t len = (size_t)at[0] << 8 | at[1];
		struct admission *adm;
		int ret;

		if (todo < 2 + len)
			return; /* the host lets none such pass */
		ret = admission_take(c, at + 2, len, s->m, &adm);
		at += 2 + len;
		todo -= 2 + len;
		if (!ret)
			adm->push = c->self_seed;
		if (ret == -EKEYREJECTED)
			faulty(c, s->m, same);
		if (ret == -ENOMEM)
			return;
	}
}

/*
 * What is pushed to us, who had the same, they take it that we have now: if not, they are to be told.
 * What they send as ours is another, we say when it is the same.
 */
void admissions_come(struct cluster *c, struct sess *s, const struct session_msg *msg)
{
	bool same = !memcmp(s->adm_told, s->adm_theirs, sizeof(s->adm_told));
	const uint8_t *sum;

	if (c->now.mono_us < s->m->deaf_until)
		return;
	if (speaks(c))
		take(c, s, msg);
	s->adm_head = msg->head;
	memcpy(s->adm_theirs, msg->sum, sizeof(s->adm_theirs));
	if (msg->len && same)
		memcpy(s->adm_told, msg->sum, sizeof(s->adm_told));
	sum = admissions_sum(c);
	if (sum && !memcmp(sum, msg->sum, sizeof(msg->sum)))
		s->m->adm_alls = 0;
	compare(c, s);
}
