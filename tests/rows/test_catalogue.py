"""Every row of the catalogue of faults and hostile input is held by a test, or says why it is not.

A row is held by tests of its name (`test_t20_...`, `test_a36_to_a38_...`), by a file of rules in tests/bad_rules, or by
tests that `HELD` points at. Rows J and N have a list of their own in tests/crms/test_rows.py.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROWS = {"A": 44, "T": 20, "Y": 23, "D": 28, "W": 7, "S": 20, "F": 34}

HELD: dict[str, tuple[str, ...]] = {
    # ---- signatures ----
    "A7": (
        "unit/test_signatures_settings.py::test_it_explains_a_mistake_in_the_settings",
        "bad_rules/variable_empty.yaml",
        "bad_rules/secret_missing.yaml",
    ),
    "A8": ("web/test_answers.py::test_a_signature_that_our_own_settings_cannot_check_is_our_trouble",),
    "A25": ("web/test_answers.py::test_the_same_event_again_is_a_duplicate_and_wakes_nobody",),
    "A28": ("ledger/test_intake.py::test_the_same_body_again_is_a_duplicate_and_kept_once",),
    "A40": ("web/test_bytes.py::test_only_post_is_taken",),
    "A41": ("web/test_bytes.py::test_there_is_one_spelling_of_the_address",),
    "A42": ("web/test_strangers.py::test_no_address_but_a_sources_is_more_than_nothing",),
    "A43": ("unit/test_signatures_settings.py::test_a_signature_is_never_compared_with_an_equals_sign",),
    "A44": (
        "unit/test_signatures_settings.py::test_it_explains_a_mistake_in_the_settings",
        "unit/test_signatures_settings.py::test_only_a_preset_may_use_an_outdated_hash",
    ),
    # ---- transport ----
    "T1": ("web/test_bytes.py::test_a_compressed_body_is_refused_and_never_inflated",),
    "T2": ("web/test_bytes.py::test_a_compressed_body_is_refused_and_never_inflated",),
    "T3": ("web/test_bytes.py::test_a_chunked_body_is_taken",),
    "T4": (
        "web/test_bytes.py::test_a_broken_chunk_is_refused",
        "web/test_bytes.py::test_a_chunk_extension_without_end_is_refused",
    ),
    "T5": ("web/test_bytes.py::test_a_chunked_body_over_the_limit_is_refused_and_not_cut",),
    "T6": ("web/test_bytes.py::test_a_length_over_the_limit_is_refused_before_the_body_comes",),
    "T7": ("web/test_bytes.py::test_a_body_shorter_than_its_length_is_refused_when_the_sender_stops",),
    "T8": ("web/test_bytes.py::test_a_body_longer_than_its_length_is_no_second_request",),
    "T9": (
        "web/test_bytes.py::test_a_length_that_is_no_plain_number_is_refused",
        "web/test_bytes.py::test_a_second_length_is_refused",
    ),
    "T10": (
        "web/test_bytes.py::test_an_unusual_transfer_encoding_is_refused",
        "web/test_bytes.py::test_a_transfer_encoding_in_http_1_0_is_refused",
    ),
    "T11": ("web/test_bytes.py::test_a_malformed_head_is_refused",),
    "T12": ("web/test_bytes.py::test_an_underscore_does_not_stand_in_for_a_hyphen",),
    "T13": ("web/test_bytes.py::test_too_much_header_is_refused",),
    "T14": (
        "web/test_slow_senders.py::test_a_sender_that_drips_is_cut_off",
        "web/test_slow_senders.py::test_a_sender_that_stops_is_cut_off",
    ),
    "T15": ("web/test_slow_senders.py::test_a_thousand_idle_connections_keep_nobody_out",),
    "T16": (
        "web/test_bytes.py::test_a_sender_that_asks_first_is_told_to_go_on",
        "web/test_bytes.py::test_pipelined_requests_are_answered_one_each_and_in_order",
    ),
    "T17": ("web/test_slow_senders.py::test_a_sender_that_leaves_before_the_answer_has_left_its_lead",),
    "T18": ("web/test_bytes.py::test_the_content_type_never_loses_an_authentic_lead",),
    "T19": (
        "web/test_answers.py::test_a_locked_database_is_our_trouble_and_the_crm_comes_again",
        "end_to_end/test_database_away.py::test_webhooks_at_a_frozen_postgresql_are_refused_in_time_and_taken_when_it_is_back",
    ),
    # ---- rules files ----
    "Y1": ("bad_rules/anchor.yaml", "bad_rules/alias.yaml"),
    "Y2": ("bad_rules/tag.yaml", "bad_rules/python_tag.yaml"),
    "Y3": ("bad_rules/duplicate_key.yaml",),
    "Y4": ("rules/test_rules_mistakes.py::test_a_value_stays_the_text_that_was_typed",),
    "Y5": ("rules/test_rules_mistakes.py::test_a_value_stays_the_text_that_was_typed",),
    "Y6": ("rules/test_rules_mistakes.py::test_a_value_stays_the_text_that_was_typed",),
    "Y7": ("rules/test_rules_mistakes.py::test_a_value_stays_the_text_that_was_typed",),
    "Y8": (
        *(f"bad_rules/{name}.yaml" for name in ("tab_indentation", "placeholder_unquoted", "complex_key", "equals")),
        *(f"bad_rules/{name}.yaml" for name in ("nul_character", "second_document", "empty_file", "utf16")),
    ),
    "Y9": ("bad_rules/alias.yaml", "bad_rules/too_deep.yaml"),
    "Y10": ("bad_rules/signature_typo.yaml", "bad_rules/unknown_source_key.yaml", "bad_rules/unknown_top_key.yaml"),
    "Y11": (
        *(f"bad_rules/{name}.yaml" for name in ("variable_not_set", "variable_empty", "variable_with_newline")),
        "rules/test_rules_mistakes.py::test_no_message_shows_the_value_of_a_variable",
    ),
    "Y12": ("rules/test_rules_mistakes.py::test_a_secret_that_is_written_in_the_file",),
    "Y15": ("bad_rules/placeholder_expression.yaml", "bad_rules/placeholder_unknown.yaml"),
    "Y16": (
        "rules/test_rules_decide.py::test_a_lead_that_is_not_called_says_why",
        "rules/test_rules_decide.py::test_a_lead_is_called_by_the_first_rule_that_fits",
    ),
    "Y19": (
        "pipeline/test_advance.py::test_rules_that_changed_between_two_attempts_decide_the_next_one",
        "pipeline/test_advance.py::test_a_source_that_the_rules_no_longer_have_parks_its_leads",
    ),
    "Y20": ("pipeline/test_advance.py::test_rules_that_changed_between_two_attempts_decide_the_next_one",),
    "Y23": ("bad_rules/scheme_none.yaml", "bad_rules/source_without_verify.yaml"),
    # ---- answers of the dialer ----
    "D1": (
        "faults/test_http_faults.py::test_an_unknown_name_is_not_sent",
        "faults/test_http_faults.py::test_a_refused_connection_is_not_sent",
        "faults/test_http_faults.py::test_a_connection_that_nobody_takes_ends_at_the_deadline_and_is_not_sent",
        "faults/test_tls_faults.py::test_a_handshake_that_breaks_off_is_not_sent",
        "dialer/test_personal_connection.py::test_what_was_not_sent_was_not_placed",
        "pipeline/test_advance.py::test_the_waits_between_attempts_grow",
    ),
    "D2": (
        "faults/test_http_faults.py::test_it_knows_what_a_fault_after_the_request_leaves_open",
        "faults/test_dialer_faults.py::test_one_request_whatever_comes_back",
    ),
    "D3": ("faults/test_dialer_faults.py::test_one_request_whatever_comes_back",),
    "D4": ("faults/test_http_faults.py::test_it_knows_what_a_fault_after_the_request_leaves_open",),
    "D5": ("dialer/test_personal_connection.py::test_any_2xx_with_an_id_is_placed",),
    "D6": (
        "dialer/test_personal_connection.py::test_the_id_is_read_from_id_and_then_call_id",
        "dialer/test_personal_connection.py::test_an_empty_2xx_is_placed_without_an_id",
        "dialer/test_personal_connection.py::test_an_answer_that_proves_nothing_is_unclear",
    ),
    "D7": ("ledger/test_calls.py::test_a_call_id_that_another_call_has_makes_this_one_unknown_with_an_alert",),
    "D8": ("dialer/test_personal_connection.py::test_any_2xx_with_an_id_is_placed",),
    "D9": ("dialer/test_personal_connection.py::test_a_refusal_says_what_to_do",),
    "D10": (
        "dialer/test_personal_connection.py::test_a_refusal_says_what_to_do",
        "pipeline/test_advance.py::test_a_refused_token_is_refreshed_once_and_then_all_dialling_pauses",
    ),
    "D11": ("dialer/test_personal_connection.py::test_a_refusal_says_what_to_do",),
    "D12": ("dialer/test_personal_connection.py::test_an_answer_that_proves_nothing_is_unclear",),
    "D13": (
        "dialer/test_retry_after.py::test_it_reads_what_servers_ask_for",
        "ledger/test_pauses.py::test_a_busy_dialer_is_left_alone_for_as_long_as_it_asks",
    ),
    "D14": ("dialer/test_personal_connection.py::test_a_rate_limit_says_how_long_to_wait",),
    "D15": ("dialer/test_personal_connection.py::test_an_answer_that_proves_nothing_is_unclear",),
    "D16": (
        "faults/test_http_faults.py::test_a_redirect_is_not_followed_and_its_target_sees_nothing",
        "dialer/test_personal_connection.py::test_a_refusal_says_what_to_do",
    ),
    "D17": (
        "faults/test_raw_answers.py::test_it_makes_of_strange_bytes_what_can_be_made",
        "faults/test_dialer_faults.py::test_one_request_whatever_comes_back",
    ),
    "D18": ("faults/test_http_faults.py::test_it_reads_no_more_than_64_kb_and_decompresses_nothing",),
    "D19": ("dialer/test_personal_connection.py::test_an_answer_that_proves_nothing_is_unclear",),
    "D20": (
        "ledger/test_calls.py::test_a_late_clear_answer_settles_an_unknown_call",
        "faults/test_raw_answers.py::test_it_makes_of_strange_bytes_what_can_be_made",
    ),
    "D22": ("ledger/test_people.py::test_a_called_lead_takes_no_order_that_could_ring_it",),
    "D23": ("faults/test_dialer_faults.py::test_one_request_whatever_comes_back",),
    "D24": ("faults/test_http_faults.py::test_a_dial_has_a_connection_of_its_own_and_others_share_one",),
    "D25": ("faults/test_http_faults.py::test_proxies_and_netrc_of_the_environment_take_no_part",),
    "D27": ("end_to_end/test_serving.py::test_the_answer_to_the_crm_waits_for_nobody",),
    "D28": (
        "ledger/test_pauses.py::test_one_lead_at_a_time_tries_a_paused_account",
        "ledger/test_pauses.py::test_a_failing_account_is_tried_after_1_5_and_15_minutes",
    ),
    # ---- telling the CRM ----
    "W1": (
        "pipeline/test_write_back.py::test_trouble_of_the_crm_is_tried_again",
        "pipeline/test_write_back.py::test_a_crm_that_is_away_for_three_days_is_a_persons_business",
    ),
    "W2": ("pipeline/test_write_back.py::test_a_refusal_of_the_crm_is_parked_with_advice",),
    "W3": ("pipeline/test_write_back.py::test_a_refusal_of_the_crm_is_parked_with_advice",),
    "W5": ("pipeline/test_write_back.py::test_the_newest_result_is_what_the_crm_ends_with",),
    "W6": ("crash/test_crash_points.py::test_a_death_anywhere_else_changes_nothing",),
    "W7": (
        "pipeline/test_write_back.py::test_a_crm_that_never_answers_does_not_touch_the_lead",
        "pipeline/test_write_back.py::test_while_a_crm_hangs_only_some_write_backs_are_leased_ahead",
        "end_to_end/test_serving.py::test_a_crm_that_hangs_delays_no_call",
    ),
    # ---- where requests go ----
    "S9": (
        "faults/test_http_faults.py::test_a_name_server_that_hangs_does_not_hold_the_deadline_up",
        "faults/test_http_faults.py::test_an_unknown_name_is_not_sent",
    ),
    "S10": (
        "rules/test_rules_writeback.py::test_any_other_address_is_refused",
        "faults/test_http_faults.py::test_an_address_that_would_lead_elsewhere_is_not_used",
    ),
    "S11": ("rules/test_rules_writeback.py::test_any_other_address_is_refused",),
    "S12": ("rules/test_rules_writeback.py::test_a_port_must_be_listed_with_its_host",),
    "S13": ("rules/test_rules_writeback.py::test_any_other_address_is_refused",),
    "S14": ("faults/test_http_faults.py::test_a_redirect_is_not_followed_and_its_target_sees_nothing",),
    "S15": (
        "rules/test_rules_writeback.py::test_a_line_break_in_a_value_is_refused",
        "rules/test_rules_writeback.py::test_a_value_becomes_ascii",
        "faults/test_http_faults.py::test_a_header_that_http_does_not_take_is_not_sent",
    ),
    "S16": (
        "faults/test_tls_faults.py::test_an_expired_certificate_is_refused",
        "faults/test_tls_faults.py::test_a_certificate_that_nobody_vouches_for_is_refused_with_the_reason",
        "faults/test_tls_faults.py::test_a_certificate_for_another_name_is_refused",
        "faults/test_tls_faults.py::test_the_shared_context_verifies_and_is_made_once",
    ),
    "S18": ("pipeline/test_write_back.py::test_a_refusal_of_the_crm_is_parked_with_advice",),
    "S19": (
        "bad_rules/request_with_password.yaml",
        "faults/test_http_faults.py::test_no_error_shows_what_was_asked",
    ),
    # ---- process, storage and time ----
    "F1": ("crash/test_crash_points.py::test_every_point_in_the_source_is_tried",),
    "F2": (
        "end_to_end/test_stopping.py::test_an_idle_server_ends_at_once",
        "end_to_end/test_stopping.py::test_under_load_nothing_that_was_acknowledged_is_lost",
        "end_to_end/test_stopping.py::test_calls_under_way_are_waited_for",
        "end_to_end/test_stopping.py::test_more_than_one_signal_changes_nothing",
        "many/test_dying.py::test_a_worker_that_is_told_to_stop_ends_its_calls_and_leaves_the_rest_to_others",
    ),
    "F3": (
        "crash/test_crash_points.py::test_a_process_that_was_suspended_before_sending_sends_nothing_when_it_wakes_too_late",
        "crash/test_crash_points.py::test_a_process_that_sleeps_while_another_takes_its_place_changes_nothing",
        "many/test_dying.py::test_a_frozen_worker_that_wakes_up_rings_nobody_again",
    ),
    "F4": (
        "ledger/test_upkeep.py::test_a_lease_that_ran_out_is_recovered_though_its_worker_lives",
        "pipeline/test_local_runner.py::test_a_dial_that_takes_too_long_is_left_behind_and_recovered_by_others",
    ),
    "F5": ("end_to_end/test_killing.py::test_a_killed_server_loses_nothing_and_rings_nobody_twice",),
    "F6": ("web/test_readiness.py::test_it_is_not_ready_with_a_full_disk_and_ready_again_with_room",),
    "F7": (
        "pipeline/test_advance.py::test_an_outcome_that_could_not_be_recorded_is_offered_until_it_is",
        "pipeline/test_advance.py::test_an_outcome_that_the_database_cannot_take_is_kept_and_hides_no_other",
    ),
    "F8": ("web/test_readiness.py::test_it_is_not_ready_with_a_disk_that_is_read_only",),
    "F9": (
        "web/test_answers.py::test_a_locked_database_is_our_trouble_and_the_crm_comes_again",
        "web/test_answers.py::test_a_database_that_is_free_again_in_time_takes_the_lead",
    ),
    "F11": (
        "ledger/test_database.py::test_a_second_server_on_one_sqlite_file_is_refused",
        "many/test_many_machines.py::test_sqlite_is_refused_with_a_sentence",
    ),
    "F12": (
        "cli/test_cli_start.py::test_serve_begins_without_its_database_and_works_once_it_is_there",
        "many/test_database_away.py::test_while_the_database_is_away_webhooks_are_refused_in_time_and_nobody_spins",
        "pipeline/test_local_runner.py::test_the_runner_outlives_a_database_that_is_away",
    ),
    "F13": (
        "pipeline/test_advance.py::test_an_intent_whose_commit_is_in_doubt_sends_nothing",
        "pipeline/test_advance.py::test_an_outcome_that_was_recorded_although_the_database_went_away_changes_nothing",
        "ledger/test_database.py::test_a_connection_cut_within_a_transaction_is_unavailable_and_leaks_nothing",
    ),
    "F15": (
        "ledger/test_intake.py::test_deliveries_of_the_same_events_in_another_order_do_not_wait_for_each_other",
        "ledger/test_database.py::test_threads_that_queue_for_a_locked_sqlite_file_all_give_up_in_time",
        "cli/test_cli_database.py::test_a_pool_that_is_busy_is_told_apart_from_a_server_that_is_away",
        "many/test_many_machines.py::test_one_web_process_and_one_worker_take_fewer_than_15_connections",
    ),
    "F17": ("ledger/test_calls.py::test_a_thousand_claims_of_one_lead_have_one_winner",),
    "F18": (
        "ledger/test_upkeep.py::test_a_lease_that_ran_out_is_recovered_though_its_worker_lives",
        "ledger/test_calls.py::test_a_worker_that_was_taken_for_dead_cannot_begin",
        "model/test_never_twice.py::test_this_design_never_rings_twice",
    ),
    "F19": (
        "ledger/test_database.py::test_the_clock_is_the_databases_and_counts_milliseconds",
        "unit/test_signatures.py::test_a20_a21_it_accepts_300_seconds_either_way_and_not_301",
        "cli/test_cli_signature.py::test_an_old_capture_is_judged_by_the_time_it_came",
    ),
    "F21": (
        "ledger/test_calls.py::test_a_lead_that_stumbles_five_times_is_parked_and_told",
        "pipeline/test_local_runner.py::test_an_error_of_ours_stops_one_lead_only",
    ),
    "F23": (
        "ledger/test_migrations.py::test_an_older_schema_is_not_enough_and_a_newer_one_is",
        "ledger/test_migrations.py::test_releases_at_the_same_time_are_harmless",
        "ledger/test_calls.py::test_a_reason_of_a_newer_release_does_not_stop_a_lead",
    ),
    "F24": ("many/test_dying.py::test_workers_killed_again_and_again_in_a_burst_lose_nothing_and_ring_nobody_twice",),
    "F25": ("pipeline/test_verdicts.py::test_a_backlog_after_an_outage_is_no_night_of_calls",),
    "F26": (
        "ledger/test_people.py::test_a_second_order_to_ring_again_is_refused",
        "ledger/test_people.py::test_a_called_lead_takes_no_order_that_could_ring_it",
    ),
    "F29": (
        "unit/test_settings.py::test_a_dyno_without_a_database_refuses_to_start_and_says_why",
        "many/test_many_machines.py::test_sqlite_is_refused_with_a_sentence",
    ),
    "F30": ("ledger/test_database.py::test_many_threads_write_at_once",),
    "F31": (
        "web/test_hostile_senders.py::test_health_answers_while_the_database_holds_every_web_thread",
        "web/test_readiness.py::test_strangers_who_ask_while_the_database_hangs_hold_one_web_thread",
    ),
    "F32": ("unit/test_log.py::test_a_reader_that_stalls_holds_up_nothing_and_is_told_what_it_missed",),
    "F34": ("cli/test_cli_program.py::test_a_fault_of_ours_is_one_line_and_70",),
}

NOT_HERE = {
    "Y13": "rules have no regular expressions",
    "Y14": "rules have no regular expressions",
    "Y18": "rules are read once, at the start; a process with bad rules does not start (cli/test_cli_program.py)",
    "D21": "there is no status callback: the contact centre's answer to the request is all that is known of a call",
    "F14": "which commits a PostgreSQL survives is its operator's choice; a replica that misses some is not told apart",
    "F16": "PostgreSQL is spoken to directly; workers listen, which a pool in transaction mode does not pass on",
    "F20": "the hours of the person called are rows N23 to N25; nothing else knows a time zone",
    "F27": "there is no restoring yet; dialling is switched off by RINGBACK_DIALING",
    "F28": "dialling is on unless it is switched off: a decision, with its reason in docs/design.md",
}


@functools.cache
def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")}


def rows_in(name: str) -> set[str]:
    """The rows that a test's name begins with: `a20_a21`, `a36_to_a38`."""
    rows: set[str] = set()
    words = name.removeprefix("test_").split("_")
    for at, word in enumerate(words):
        if word == "to" and rows:
            letter, first = words[at - 1][0], int(words[at - 1][1:])
            last = re.fullmatch(rf"{letter}([0-9]+)", words[at + 1])
            rows |= {f"{letter}{n}".upper() for n in range(first, int(last[1]) + 1)} if last else set()
        elif re.fullmatch(r"[atydwsf][0-9]{1,2}", word):
            rows.add(word.upper())
        else:
            break
    return rows


def test_every_row_is_held_by_a_test_or_says_why_not() -> None:
    named = {row for path in TESTS.rglob("test_*.py") for name in names_in(path) for row in rows_in(name)}
    rows = {f"{letter}{n}" for letter, count in ROWS.items() for n in range(1, count + 1)}
    assert rows - named - set(HELD) - set(NOT_HERE) == set()
    assert (named | set(HELD) | set(NOT_HERE)) - rows == set()
    assert set(NOT_HERE) & (named | set(HELD)) == set()


def test_every_test_that_holds_a_row_is_there() -> None:
    missing = []
    for place in {place for places in HELD.values() for place in places}:
        file, _, name = place.partition("::")
        path = TESTS / file
        if not path.is_file() or (name and name not in names_in(path)):
            missing.append(place)
    assert missing == []


def test_the_rows_of_a_name_are_read() -> None:
    assert rows_in("test_a20_a21_it_accepts") == {"A20", "A21"}
    assert rows_in("test_a36_to_a38_only") == {"A36", "A37", "A38"}
    assert rows_in("test_s1_to_s8_a_public_address") == {f"S{n}" for n in range(1, 9)}
    assert rows_in("test_a_to_b") == set()
