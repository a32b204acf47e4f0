/* SPDX-License-Identifier: ISC */
/* From the spool to Maildirs and reports: the queue with real files, a fake keeper, no network. */
#include "tests/unit/queue_world.h"

static const struct fake_address addresses[] = {
	{ "alias@here.test", SMTP_RESOLVE_LOCAL, { "bob@here.test", "carol@here.test" } },
	{ "one@here.test", SMTP_RESOLVE_LOCAL, { "bob@here.test" } },
	{ "loop@here.test", SMTP_RESOLVE_LOCAL, { "loop2@here.test" } },
	{ "loop2@here.test", SMTP_RESOLVE_LOCAL, { "loop@here.test" } },
	{ "nobody@here.test", SMTP_RESOLVE_UNKNOWN, { NULL } },
	{ "off@here.test", SMTP_RESOLVE_DISABLED, { NULL } },
	{ NULL, 0, { NULL } },
};

static void setup(void)
{
	world_setup();
	world.addresses = addresses;
}

static bool has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

START_TEST(one_message_to_one_mailbox)
{
	const char *text;

	(void)world_mail(&(struct mail){ .from = "a@b.test", .to = { "bob@here.test" },
					 .content = "Return-Path: <forged@x>\r\nSubject: hi\r\n"
						    "return-path:\r\n <two@x>\r\n\r\n"
						    "Return-Path: body\r\n" });
	ck_assert(world_waits(world_is_empty) && world_waits(world_is_empty));
	world_settles();
	ck_assert_uint_eq(world_maildir_count("bob"), 1);
	text = world_maildir_text("bob");
	ck_assert_str_eq(text, "Return-Path: <a@b.test>\nDelivered-To: bob@here.test\n"
			       "Received: by test\nSubject: hi\n\nReturn-Path: body\n");
	ck_assert_uint_eq(world_spooled(), 0);
	ck_assert_uint_eq(world_events("delivery.done"), 1);
	ck_assert_ptr_nonnull(strstr(world_event_text("delivery.done"), "|from=a@b.test|to=bob@here.test|"));
}
END_TEST

static bool two_are_delivered(void)
{
	return world_events("delivery.done") >= 2 && world_is_quiet();
}

START_TEST(several_mailboxes_and_a_big_message)
{
	static char content[700001];

	memset(content, 'x', 700000);
	for (size_t i = 0; i < 700000; i += 100)
		memcpy(content + i, i < 300 ? "\r\nX: " : "\r\n", i < 300 ? 5 : 2);
	memcpy(content, "Y", 1);
	memcpy(content + 1, ": 1\r\n", 5);
	(void)world_mail(&(struct mail){ .from = "\"a b\"@b.test", .content = content,
					 .to = { "bob@here.test", "carol@here.test" } });
	ck_assert(world_waits(two_are_delivered));
	ck_assert_uint_eq(world_maildir_count("bob"), 1);
	ck_assert_uint_eq(world_maildir_count("carol"), 1);
	ck_assert(has_prefix(world_maildir_text("carol"),
			     "Return-Path: <\"a b\"@b.test>\nDelivered-To: carol@here.test\n"));
	ck_assert_uint_eq(world_spooled(), 0);
}
END_TEST

START_TEST(address_that_became_an_alias)
{
	(void)world_mail(&(struct mail){ .from = "a@b.test", .to = { "alias@here.test", "one@here.test" } });
	ck_assert(world_waits(two_are_delivered));
	ck_assert_uint_eq(world_maildir_count("bob"), 2);
	ck_assert_uint_eq(world_maildir_count("carol"), 1);
	ck_assert_uint_eq(world_maildir_count("alias"), 0);
	ck_assert_uint_eq(world_spooled(), 0);
}
END_TEST

START_TEST(alias_that_leads_nowhere_waits)
{
	(void)world_mail(&(struct mail){ .from = "a@b.test", .to = { "loop@here.test" } });
	ck_assert(world_waits(world_is_quiet));
	while (world_events("delivery.defer") == 0)
		world_settles();
	ck_assert_ptr_nonnull(strstr(world_event_text("delivery.defer"), "reason=4.3.5 "));
	ck_assert_uint_eq(world_spooled(), 1);
}
END_TEST

/* ---- failures and reports ---- */

static bool sender_has_report(void)
{
	return world_maildir_count("alice") > 0 && world_is_quiet();
}

static const struct { const char *name, *to, *content, *status; } failures[] = {
	{ "unknown", "nobody@here.test", NULL, "Status: 5.1.1\n" },
	{ "disabled", "off@here.test", NULL, "Status: 5.2.1\n" },
	{ "no address", "not an address", NULL, "Status: 5.1.3\n" },
	{ "needs SMTPUTF8", "b\xc3\xb6rk@here.test", NULL, "Status: 5.6.7\n" },
	{ "loop", "bob@here.test", "Subject: x\r\nDelivered-To: Bob@here.test\r\n\r\n", "Status: 5.4.6\n" },
};

START_TEST(failure_is_reported_once)
{
	const char *text;

	world.signature = "DKIM-Signature: v=1; b=abc\r\n";
	(void)world_mail(&(struct mail){ .from = "alice@here.test", .to = { failures[_i].to },
					 .origin = "submission", .content = failures[_i].content });
	ck_assert_msg(world_waits(sender_has_report), "%s", failures[_i].name);
	text = world_maildir_text("alice");
	ck_assert_msg(strstr(text, failures[_i].status), "%s: %s", failures[_i].name, text);
	ck_assert(has_prefix(text, "Return-Path: <>\nDelivered-To: alice@here.test\n"
				   "DKIM-Signature: v=1; b=abc\nFrom: "));
	ck_assert_ptr_nonnull(strstr(text, "Action: failed\n"));
	ck_assert_uint_eq(world_maildir_count("alice"), 1);
	ck_assert_uint_eq(world_maildir_count("bob"), 0);
	ck_assert_uint_eq(world_events("bounce.sent"), 1);
	ck_assert_uint_eq(world_events("delivery.fail"), 1);
	ck_assert_uint_eq(world.signatures, 1);
	ck_assert_uint_eq(world_spooled(), 0);
	ck_assert_uint_eq(world_dead(), 0);
}
END_TEST

START_TEST(report_names_the_alias_not_its_target)
{
	const char *text;

	(void)world_mail(&(struct mail){ .from = "alice@here.test", .to = { "nobody@here.test" },
					 .original = "sales@here.test", .origin = "mx" });
	ck_assert(world_waits(sender_has_report));
	text = world_maildir_text("alice");
	ck_assert_ptr_nonnull(strstr(text, "Final-Recipient: rfc822; sales@here.test\n"));
	ck_assert_ptr_null(strstr(text, "nobody@here.test"));
	ck_assert_ptr_null(strstr(text, "DKIM-Signature"));
}
END_TEST

START_TEST(some_delivered_some_failed)
{
	(void)world_mail(&(struct mail){ .from = "alice@here.test",
					 .to = { "bob@here.test", "nobody@here.test", "off@here.test" } });
	ck_assert(world_waits(sender_has_report));
	ck_assert_uint_eq(world_maildir_count("bob"), 1);
	ck_assert_uint_eq(world_maildir_count("alice"), 1);
	ck_assert_ptr_nonnull(strstr(world_maildir_text("alice"), "Status: 5.2.1\n"));
	ck_assert_uint_eq(world_spooled(), 0);
}
END_TEST

static bool one_is_dead(void)
{
	return world_events("bounce.dead") > 0 && world_is_quiet();
}

START_TEST(report_that_fails_goes_to_bounce)
{
	(void)world_mail(&(struct mail){ .from = "", .to = { "nobody@here.test" }, .origin = "dsn" });
	ck_assert(world_waits(one_is_dead));
	ck_assert_uint_eq(world_dead(), 1);
	ck_assert_uint_eq(world_spooled(), 0);
	ck_assert_uint_eq(world_events("bounce.sent"), 0);
	ck_assert_uint_eq(queue_count(world.queue).messages, 0);
}
END_TEST

/* The list made at the start may name a message that is buried by the time it is looked at. */
START_TEST(dead_letter_is_not_begun_again)
{
	char id[SMTP_QUEUE_ID_MAX + 1];

	(void)snprintf(id, sizeof id, "%s", world_mail(&(struct mail){
		.from = "", .to = { "nobody@here.test" }, .origin = "dsn" }));
	ck_assert(world_waits(one_is_dead));
	queue_accepted(world.queue, id);
	world_settles();
	ck_assert(world_waits(world_is_empty));
	ck_assert_uint_eq(world_events("bounce.dead"), 1);
	ck_assert_uint_eq(world_dead(), 1);
}
END_TEST

START_TEST(operator_removes_a_dead_letter)
{
	char id[SMTP_QUEUE_ID_MAX + 1];

	(void)snprintf(id, sizeof id, "%s", world_mail(&(struct mail){
		.from = "", .to = { "nobody@here.test" }, .origin = "dsn" }));
	ck_assert(world_waits(one_is_dead));
	ck_assert_int_eq(queue_remove(world.queue, id), 0);
	ck_assert_uint_eq(world_dead(), 0);
	ck_assert_int_eq(queue_remove(world.queue, id), SMTP_ENOTFOUND);
}
END_TEST

/* The sender does not exist: report, then dead letter. */
START_TEST(report_to_nobody_goes_to_bounce)
{
	(void)world_mail(&(struct mail){ .from = "nobody@here.test", .to = { "off@here.test" } });
	ck_assert(world_waits(one_is_dead));
	ck_assert_uint_eq(world_events("bounce.sent"), 1);
	ck_assert_uint_eq(world_dead(), 1);
	ck_assert_uint_eq(world_spooled(), 0);
}
END_TEST

/* A forged Delivered-To with a forged sender must not make us write to a victim. */
START_TEST(loop_from_outside_is_told_nobody)
{
	(void)world_mail(&(struct mail){ .from = "alice@here.test", .to = { "bob@here.test" }, .origin = "mx",
					 .content = "Delivered-To: bob@here.test\r\n\r\n" });
	ck_assert(world_waits(one_is_dead));
	ck_assert_uint_eq(world_dead(), 1);
	ck_assert_uint_eq(world_spooled(), 0);
	ck_assert_uint_eq(world_events("bounce.sent"), 0);
	ck_assert_uint_eq(world_maildir_count("alice"), 0);
}
END_TEST

/* ---- what waits ---- */

static bool one_is_deferred(void)
{
	return world_events("delivery.defer") > 0 && world_is_quiet();
}

/* A file where the Maildir should be. */
static void block_mailbox(const char *who)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/mail", world.directory);
	(void)mkdir(path, 0700);
	(void)snprintf(path, sizeof path, "%s/mail/here.test", world.directory);
	(void)mkdir(path, 0700);
	(void)snprintf(path, sizeof path, "%s/mail/here.test/%s", world.directory, who);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fclose(f), 0);
}

static void unblock_mailbox(const char *who)
{
	char path[256];

	(void)snprintf(path, sizeof path, "%s/mail/here.test/%s", world.directory, who);
	ck_assert_int_eq(remove(path), 0);
}

START_TEST(mailbox_that_cannot_be_written_waits)
{
	struct smtp_queue_entry *entry;
	char id[SMTP_QUEUE_ID_MAX + 1];

	block_mailbox("bob");
	(void)snprintf(id, sizeof id, "%s", world_mail(&(struct mail){
		.from = "a@b.test", .to = { "bob@here.test", "carol@here.test" } }));
	ck_assert(world_waits(one_is_deferred));
	ck_assert_uint_eq(world_maildir_count("carol"), 1);
	ck_assert_int_eq(smtp_spool_load(world.spool, id, &entry), 0);
	ck_assert_int_eq(entry->recipients[0].state, SMTP_RECIPIENT_QUEUED);
	ck_assert_int_eq(entry->recipients[0].attempts, 1);
	ck_assert_int_ge(entry->recipients[0].next_attempt_ms, queue_wall_ms() + 3500000);
	ck_assert_int_eq(entry->recipients[1].state, SMTP_RECIPIENT_DELIVERED);
	smtp_queue_entry_free(entry);

	world_restart();
	world.addresses = addresses;
	world_settles();
	ck_assert_uint_eq(queue_count(world.queue).deferred, 1);
	ck_assert_uint_eq(world_events("delivery.defer"), 0); /* not due yet */
	unblock_mailbox("bob");
	ck_assert_int_eq(queue_retry(world.queue, id), 0);
	ck_assert(world_waits(world_is_empty));
	ck_assert_uint_eq(world_maildir_count("bob"), 1);
	ck_assert_uint_eq(world_maildir_count("carol"), 1); /* not again */
	ck_assert_int_eq(queue_retry(world.queue, id), SMTP_ENOTFOUND);
}
END_TEST

/* The loop was recorded in an attempt before the one that ends the message. */
START_TEST(loop_from_outside_is_remembered)
{
	block_mailbox("carol");
	(void)world_mail(&(struct mail){ .from = "alice@here.test", .origin = "mx",
					 .to = { "bob@here.test", "carol@here.test" },
					 .content = "Delivered-To: bob@here.test\r\n\r\n" });
	ck_assert(world_waits(one_is_deferred));
	ck_assert_uint_eq(world_dead(), 0);
	unblock_mailbox("carol");
	world_restart();
	world_settles();
	ck_assert_int_eq(queue_retry(world.queue, NULL), 0);
	ck_assert(world_waits(one_is_dead));
	ck_assert_uint_eq(world_dead(), 1);
	ck_assert_uint_eq(world_maildir_count("carol"), 1);
	ck_assert_uint_eq(world_maildir_count("alice"), 0);
}
END_TEST

/* The address became an alias, and one of its mailboxes can't be written: the other has it once. */
START_TEST(alias_delivers_once_to_each)
{
	char path[256];

	block_mailbox("carol");
	(void)world_mail(&(struct mail){ .from = "a@b.test", .to = { "alias@here.test" } });
	ck_assert(world_waits(one_is_deferred));
	(void)snprintf(path, sizeof path, "%s/mail/here.test/bob", world.directory);
	ck_assert_uint_eq(world_maildir_count("bob"), 1);
	ck_assert_int_eq(nftw(path, remove_path, 20, FTW_DEPTH | FTW_PHYS), 0); /* it was read */
	world_restart();
	unblock_mailbox("carol");
	world_settles();
	ck_assert_int_eq(queue_retry(world.queue, NULL), 0);
	ck_assert(world_waits(world_is_empty));
	ck_assert_uint_eq(world_maildir_count("carol"), 1);
	ck_assert_uint_eq(world_maildir_count("bob"), 0);
}
END_TEST

START_TEST(end_of_lifetime_is_a_failure)
{
	const char *text;

	block_mailbox("bob");
	(void)world_mail(&(struct mail){ .from = "alice@here.test", .to = { "bob@here.test" },
					 .age_ms = 432000001 });
	ck_assert(world_waits(sender_has_report));
	text = world_maildir_text("alice");
	ck_assert_ptr_nonnull(strstr(text, "Action: failed\nStatus: 4.4.7\n"));
	ck_assert_ptr_nonnull(strstr(text, "4.3.0 the mailbox"));
	ck_assert_ptr_nonnull(strstr(world_event_text("delivery.fail"), "reason=4.4.7"));
	ck_assert_uint_eq(world_spooled(), 0);
}
END_TEST

START_TEST(delay_is_told_once)
{
	struct smtp_queue_entry *entry;
	char id[SMTP_QUEUE_ID_MAX + 1];

	world.config.queue_delay_notice_ms = 1000;
	block_mailbox("bob");
	(void)snprintf(id, sizeof id, "%s", world_mail(&(struct mail){
		.from = "alice@here.test", .to = { "bob@here.test" }, .age_ms = 5000 }));
	ck_assert(world_waits(sender_has_report));
	ck_assert_ptr_nonnull(strstr(world_maildir_text("alice"), "Action: delayed\n"));
	ck_assert_int_eq(queue_retry(world.queue, NULL), 0);
	world_settles();
	ck_assert_uint_eq(world_events("delivery.defer"), 2);
	ck_assert_uint_eq(world_maildir_count("alice"), 1);
	ck_assert_int_eq(smtp_spool_load(world.spool, id, &entry), 0);
	ck_assert(entry->delay_notice_sent);
	smtp_queue_entry_free(entry);
}
END_TEST

static bool was_asked(void)
{
	return world.questions > 0 && queue_count(world.queue).active == 0;
}

START_TEST(no_keeper_is_no_attempt)
{
	struct smtp_queue_entry *entry;
	char id[SMTP_QUEUE_ID_MAX + 1];

	world.keeper_error = SMTP_EBUSY;
	(void)snprintf(id, sizeof id, "%s", world_mail(&(struct mail){ .from = "a@b.test",
								       .to = { "bob@here.test" } }));
	ck_assert(world_waits(was_asked));
	ck_assert_int_eq(smtp_spool_load(world.spool, id, &entry), 0);
	ck_assert_int_eq(entry->recipients[0].attempts, 0);
	smtp_queue_entry_free(entry);
	ck_assert_uint_eq(world_events("queue.hold"), world.event_count);
	world.keeper_error = 0;
	ck_assert_int_eq(queue_retry(world.queue, NULL), 0);
	ck_assert(world_waits(world_is_empty));
	ck_assert_uint_eq(world_maildir_count("bob"), 1);
}
END_TEST

/* ---- start, many, administration ---- */

START_TEST(what_is_in_the_spool_is_delivered_at_start)
{
	for (int i = 0; i < 100; i++)
		(void)world_spool(&(struct mail){ .from = "a@b.test", .to = { "bob@here.test" } });
	world_restart();
	ck_assert(world_waits(world_is_empty));
	ck_assert_uint_eq(world_maildir_count("bob"), 100);
	ck_assert_uint_eq(world_spooled(), 0);
}
END_TEST

static bool one_is_held(void)
{
	return world_events("queue.hold") > 0 && world_is_quiet();
}

static bool carol_has_one(void)
{
	return world_maildir_count("carol") == 1 && world_is_quiet();
}

/* A crash came between the record and the removal. */
START_TEST(finished_entries_are_removed_at_start)
{
	struct smtp_spool_outcome done = { .state = SMTP_RECIPIENT_DELIVERED, .reply = "" };
	const char *id = world_spool(&(struct mail){ .from = "a@b.test", .to = { "bob@here.test" } });

	ck_assert_int_eq(smtp_spool_record(world.spool, id, &done, 1), 0);
	done.state = SMTP_RECIPIENT_BOUNCED;
	id = world_spool(&(struct mail){ .from = "", .to = { "bob@here.test" } });
	ck_assert_int_eq(smtp_spool_record(world.spool, id, &done, 1), 0);
	world_restart();
	ck_assert(world_waits(world_is_empty));
	ck_assert_uint_eq(world_maildir_count("bob"), 0);
	ck_assert_uint_eq(world_spooled(), 0);
	ck_assert_uint_eq(world_dead(), 1); /* the one without a sender */
}
END_TEST

START_TEST(damaged_file_is_set_aside_and_stops_nothing)
{
	char id[SMTP_QUEUE_ID_MAX + 1];

	(void)snprintf(id, sizeof id, "%s", world_spool(&(struct mail){ .from = "a@b.test",
								        .to = { "bob@here.test" } }));
	(void)world_spool(&(struct mail){ .from = "a@b.test", .to = { "carol@here.test" } });
	world_damage(id, -200, SEEK_END);
	queue_accepted(world.queue, id);
	ck_assert(world_waits(one_is_held));
	ck_assert_uint_eq(queue_count(world.queue).messages, 0);
	world_restart();
	ck_assert(world_waits(world_is_empty) && world_waits(carol_has_one));
	ck_assert_uint_eq(world_maildir_count("bob"), 0);
	ck_assert_uint_eq(world_files("spool/corrupt"), 1);
}
END_TEST

/* The envelope is whole, but what would be delivered is not what was accepted. */
START_TEST(damaged_content_is_not_delivered)
{
	char id[SMTP_QUEUE_ID_MAX + 1];

	(void)snprintf(id, sizeof id, "%s", world_spool(&(struct mail){
		.from = "a@b.test", .to = { "bob@here.test", "carol@here.test" } }));
	world_damage(id, 12, SEEK_SET);
	queue_accepted(world.queue, id);
	ck_assert(world_waits(one_is_held));
	ck_assert_uint_eq(world_maildir_count("bob") + world_maildir_count("carol"), 0);
	ck_assert_uint_eq(world_files("spool/corrupt"), 1);
	ck_assert_uint_eq(world_spooled(), 0);
	ck_assert_uint_eq(queue_count(world.queue).messages, 0);
}
END_TEST

START_TEST(operator_removes)
{
	char id[SMTP_QUEUE_ID_MAX + 1];

	block_mailbox("bob");
	(void)snprintf(id, sizeof id, "%s", world_mail(&(struct mail){ .from = "a@b.test",
								       .to = { "bob@here.test" } }));
	ck_assert(world_waits(one_is_deferred));
	ck_assert_uint_eq(queue_count(world.queue).messages, 1);
	ck_assert_int_eq(queue_remove(world.queue, "NOSUCHID"), SMTP_ENOTFOUND);
	ck_assert_int_eq(queue_remove(world.queue, id), 0);
	ck_assert_uint_eq(queue_count(world.queue).messages, 0);
	ck_assert_uint_eq(world_spooled(), 0);
}
END_TEST

static bool drained;

static void on_drained(void *user)
{
	(void)user;
	drained = true;
}

static bool is_drained(void)
{
	return drained;
}

START_TEST(drain_ends_what_is_under_way)
{
	for (int i = 0; i < 100; i++)
		(void)world_mail(&(struct mail){ .from = "a@b.test", .to = { "bob@here.test" } });
	drained = false;
	queue_drain(world.queue, 10000, on_drained, NULL);
	ck_assert(!drained);
	ck_assert(world_waits(is_drained));
	ck_assert_uint_eq(queue_count(world.queue).active, 0);
	ck_assert_uint_eq(world_maildir_count("bob") + world_spooled(), 100);
	world_restart();
	ck_assert(world_waits(world_is_empty));
	ck_assert_uint_eq(world_maildir_count("bob"), 100);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("delivery");
	TCase *tc = tcase_create("delivery");

	tcase_set_timeout(tc, 60);
	tcase_add_unchecked_fixture(tc, world_make, world_unmake);
	tcase_add_checked_fixture(tc, setup, world_teardown);
	tcase_add_test(tc, one_message_to_one_mailbox);
	tcase_add_test(tc, several_mailboxes_and_a_big_message);
	tcase_add_test(tc, address_that_became_an_alias);
	tcase_add_test(tc, alias_that_leads_nowhere_waits);
	tcase_add_loop_test(tc, failure_is_reported_once, 0, ROWS(failures));
	tcase_add_test(tc, report_names_the_alias_not_its_target);
	tcase_add_test(tc, some_delivered_some_failed);
	tcase_add_test(tc, report_that_fails_goes_to_bounce);
	tcase_add_test(tc, dead_letter_is_not_begun_again);
	tcase_add_test(tc, operator_removes_a_dead_letter);
	tcase_add_test(tc, report_to_nobody_goes_to_bounce);
	tcase_add_test(tc, mailbox_that_cannot_be_written_waits);
	tcase_add_test(tc, loop_from_outside_is_told_nobody);
	tcase_add_test(tc, loop_from_outside_is_remembered);
	tcase_add_test(tc, alias_delivers_once_to_each);
	tcase_add_test(tc, end_of_lifetime_is_a_failure);
	tcase_add_test(tc, delay_is_told_once);
	tcase_add_test(tc, no_keeper_is_no_attempt);
	tcase_add_test(tc, what_is_in_the_spool_is_delivered_at_start);
	tcase_add_test(tc, finished_entries_are_removed_at_start);
	tcase_add_test(tc, damaged_file_is_set_aside_and_stops_nothing);
	tcase_add_test(tc, damaged_content_is_not_delivered);
	tcase_add_test(tc, operator_removes);
	tcase_add_test(tc, drain_ends_what_is_under_way);
	suite_add_tcase(suite, tc);
	return tests_run(suite);
}
