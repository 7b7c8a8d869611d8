/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests in the worlds where somebody joins by a token: what the admin grants it, the hosts' part of
 * it (signing, the disk), whoever stole it, and newcomers that lie. At every moment who is a guest
 * at a node is granted by the bundle in force there, and signed by the token and a seed; whose
 * address of the token's range is in the firewall was such a guest a moment ago.
 */
#ifndef TESTS_SIM_GUEST_H
#define TESTS_SIM_GUEST_H

#include "tests/sim/sim.h"

void guest_mode(struct world *w);
void guest_print(struct world *w, FILE *f); /* the policy's `tokens` */
void guest_change(struct world *w);         /* the admin does something about it */
void guest_calm(struct world *w);
void guest_free(struct world *w);
size_t guest_room(const struct world *w); /* bytes that an engine may need more */

/* For a ticket; false: none of this world has a token. */
bool guest_ticket(struct world *w, struct policy_ticket *t);
/* The newcomer's host: what the ticket's secret says of the request. */
void guest_vouch(struct world *w, struct join_request *r);
bool guest_is_lost(struct world *w, const struct node *n); /* alive, and no member (any more) */

/* The seed's host. */
void guest_sign(struct world *w, struct node *n, const struct engine_effect *fx);
void guest_store(struct world *w, struct node *n, const struct engine_effect *fx);
void guest_start(struct world *w, struct node *n);
/* It says MEMBER with these. */
void guest_check_answer(struct world *w, struct node *n, const struct join_answer *a);
/* A record as a lying seed would rather have it, none of which counts; may be cut to nothing. */
void guest_lie(struct world *w, struct node *n, uint8_t record[JOIN_ADMISSION_MAX], size_t *len);

void guest_look(struct world *w, struct node *n);  /* after each step */
void guest_check(struct world *w, struct node *n); /* the firewall */
/* The admin's policy with the guests that all members agree on; borrowed. */
const struct policy *guest_final(struct world *w);

#endif
