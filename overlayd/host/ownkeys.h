/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * This node's own keys: node.key, and while it changes its key node.key.next beside it (made by
 * `overlayctl rotate`). The engine is told of both and uses the one that the policy names. Only
 * when the old one counts no more, node.key.next takes the place of node.key: so at any moment a
 * restart finds what it needs.
 */
#ifndef OVERLAYD_HOST_OWNKEYS_H
#define OVERLAYD_HOST_OWNKEYS_H

#include <stddef.h>
#include <stdint.h>

struct world;

/* Loads them, and makes node.key if there is none. err: one sentence. */
int ownkeys_load(struct world *world, char *err, size_t err_size);
/* At start: tells the engine. */
void ownkeys_tell(struct world *world);
/* Has node.key.next come since? Tells the engine. */
void ownkeys_look(struct world *world);
/* The engine has news of policy or keys: puts node.key.next into place if it is time. Also from
 * within an effect. */
void ownkeys_settle(struct world *world);
/*
 * Behind news of policy or keys, and not from within an effect: the engine is told of our wish to
 * change the key, with a voucher that is made here; or of none.
 */
void ownkeys_voucher(struct world *world);
/* What we say is signed by this one: the old one for as long as it counts, so that those who do
 * not know the new one yet can verify it. */
void ownkeys_signing(const struct world *world, uint8_t public_key[32]);
/* The private half of one of them, as nodekey_load_pem(). -ESTALE: its file was replaced. */
int ownkeys_pem(const struct world *world, const uint8_t public_key[32], char **pem, char *err,
        size_t err_size);

#endif
