"""Named breaks of the pipeline, one line each, and the test that must notice.

Each is a text that stands exactly once in a module, and what it is replaced by in a copy. A mutant that survives means
that the promise it breaks is not tested.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One break: `before` becomes `after` in `module`; `killer` is the test that must fail."""

    name: str
    module: str
    before: str
    after: str
    killer: str


_SEQUENCE = "tests/test_policy.py::test_numbers_give_what_the_verifier_says_in_any_order"
_HOMES = "tests/test_golden_batch.py::test_every_record_has_a_home"
_STATISTICS = "tests/test_golden_batch.py::test_statistics_hold_every_increment"


def _check(name: str) -> str:
    """A check of the card, at its short size."""
    return f"tests/reliability/test_card.py::test_a_check_passes[{name}]"


MUTANTS = (
    Mutant(
        "the page knows a minute too much",
        "page/sums.py",
        'known = waiting.filter(pc.field("known_at") < before)',
        'known = waiting.filter(pc.field("known_at") <= before)',
        "tests/test_page.py::test_sums_are_those_of_any_time_in_any_order",
    ),
    Mutant(
        "the page adds compacted files to the old ones",
        "page/sums.py",
        "if not held.files <= paths:",
        "if not paths:",
        "tests/test_page.py::test_what_was_compacted_is_read_anew_and_adds_up_to_the_same",
    ),
    Mutant(
        "the page answers under any name",
        "page/site.py",
        "if bare(named) not in hosts:",
        "if not hosts:",
        "tests/test_page.py::test_only_reading_is_allowed_and_only_under_names_of_this_machine",
    ),
    Mutant(
        "the page shows what was sent",
        "page/asked.py",
        ' if name != "payload"}',
        "}",
        "tests/test_page.py::test_what_was_sent_itself_is_not_shown",
    ),
    Mutant(
        "no dedup",
        "silver/refine.py",
        "stands[list(repeats)] = False",
        "",
        _HOMES,
    ),
    Mutant(
        "no transaction id",
        "lake.py",
        "app_transactions=[Transaction(mark.app, mark.batch)]",
        "app_transactions=[]",
        "tests/test_crash.py::test_a_batch_is_written_once_under_its_mark",
    ),
    Mutant(
        "float sums",
        "exact.py",
        "result = _CONTEXT.add(result, value)",
        "result = Decimal(repr(float(result) + float(value)))",
        "tests/test_agreement.py::test_a_sum_keeps_the_small_beside_the_great",
    ),
    Mutant(
        "ties broken by arrival",
        "gold/policy.py",
        "return self.given_at, _RANK[self.action], self.feedback_id",
        'return self.given_at, _RANK[self.action], ""',
        _SEQUENCE,
    ),
    Mutant(
        "silence forgotten",
        "gold/tally.py",
        'Known("silent", silent_from, silent, -sign)',
        "",
        _STATISTICS,
    ),
    Mutant(
        "entries netted across known_at",
        "gold/policy.py",
        "for known_at in sorted({vote.known_at for vote in ordered}):",
        "for known_at in sorted({vote.known_at for vote in ordered})[-1:]:",
        "tests/test_policy.py::test_a_changed_belief_takes_the_old_one_back_at_the_same_moment",
    ),
    Mutant(
        "what is posted already is forgotten",
        "gold/resolve.py",
        '-= columns["sign"][i]',
        "-= 0",
        "tests/test_golden_batch.py::test_resolving_twice_posts_nothing",
    ),
    Mutant(
        "score buckets by float arithmetic",
        "gold/quality.py",
        "number * buckets // scale",
        "int(score * buckets)",
        "tests/test_agreement.py::test_a_score_on_an_edge_falls_into_the_bucket_that_its_decimal_says",
    ),
    Mutant(
        "a later conflict wins",
        "silver/refine.py",
        "min(place, first.get(name, place))",
        "max(place, first.get(name, place))",
        _STATISTICS,
    ),
    Mutant(
        "an orphan is taken back when it was posted",
        "silver/reconcile.py",
        'F.col("found_at").alias("known_at")',
        'F.col("orphaned_at").alias("known_at")',
        "tests/test_orders.py::test_a_lake_holds_what_the_verifier_says_as_of_any_minute",
    ),
    Mutant(
        "an answer teaches before its window has passed",
        "gold/examples.py",
        'pc.if_else(late, judged["known_at"], judged["matures_at"])',
        'judged["known_at"]',
        "tests/test_examples.py::test_nothing_is_known_before_its_window_has_passed",
    ),
    Mutant(
        "silence is taught beside the answer",
        "gold/examples.py",
        "pc.negate(rows[\"sign\"])",
        "pc.multiply(rows[\"sign\"], pa.scalar(0, pa.int32()))",
        "tests/test_golden_batch.py::test_examples_hold_what_was_known_at_maturity_and_what_changed_after_it",
    ),
    Mutant(
        "a policy teaches once for each of its definitions",
        "gold/absences.py",
        "found.setdefault((definition.model, definition.label, definition.policy.hash), definition)",
        "found[definition.model, definition.label, definition.hash] = definition",
        "tests/test_examples.py::test_definitions_that_share_a_policy_post_it_once",
    ),
    Mutant(
        "a backfill posts silence again that stands under its policy",
        "backfill.py",
        "return rows.filter(pc.invert(pc.is_in(wanted, value_set=pc.unique(there))))",
        "return rows.filter(pc.invert(pc.is_in(wanted, value_set=pc.unique(there)[:0])))",
        "tests/test_fill.py::test_entries_and_examples_that_stand_under_the_policy_are_not_posted_again",
    ),
    Mutant(
        "the verifier does not look into examples",
        "verify/examples.py",
        "    if as_of is None:\n        _compare_contents(ground)\n",
        "",
        "tests/test_verify_wrong.py::test_an_example_that_holds_what_its_inference_did_not_say_is_found",
    ),
    Mutant(
        "a backfill forgets the entries that stand already",
        "backfill.py",
        "pa.concat_tables([held, entries])",
        "entries",
        "tests/test_fill.py::test_entries_and_examples_that_stand_under_the_policy_are_not_posted_again",
    ),
    Mutant(
        "a backfill is known only when it lands",
        "app.py",
        "[*self._given, *self._backfilled]",
        "self._given",
        "tests/test_backfill.py::test_the_whole_log_says_the_same_again",
    ),
    Mutant(
        "commits in the order of the flow",
        "job.py",
        "for job in reversed(chain):",
        "for job in chain:",
        "tests/test_crash.py::test_a_half_written_batch_is_completed_by_its_replay[gold.outcome_ledger]",
    ),
    Mutant(
        "the first checkpointed batch counts as none",
        "checkpoint.py",
        'return not numbered(checkpoint / "offsets")',
        'return not any(numbered(checkpoint / "offsets"))',
        "tests/test_crash.py::test_a_checkpoint_with_one_batch_is_not_new",
    ),
    Mutant(
        "what was not consumed is settled",
        "app.py",
        "self._settle(landed, lambda",
        "self._settle(self._landed(), lambda",
        "tests/test_running.py::test_what_the_join_still_has_before_it_is_not_handed_over_to_it",
    ),
    Mutant(
        "an orphan's inference comes unnoticed",
        "settle.py",
        "[*unsettled.chunks, *again.chunks]",
        "[*unsettled.chunks]",
        _check("lateness"),
    ),
    Mutant(
        "a client's clock is believed",
        "silver/parse.py",
        "SKEW = timedelta(minutes=5)",
        "SKEW = timedelta(days=36_500)",
        _check("clocks"),
    ),
    Mutant(
        "a key may stand twice",
        "silver/wire.py",
        "or _keys(payload) != content.count(b'\":')",
        "",
        _check("torture"),
    ),
    Mutant(
        "ids without case",
        "silver/refine.py",
        'kind, rows[name], "\\0"',
        'kind, pc.utf8_lower(rows[name]), "\\0"',
        _check("identity"),
    ),
    Mutant(
        "the first ruling stands",
        "gold/policy.py",
        "max(rulings, key=lambda vote: vote.place)",
        "min(rulings, key=lambda vote: vote.place)",
        _check("revisions"),
    ),
    Mutant(
        "marks that a restart does not know",
        "app.py",
        "generation = checkpoint.generation(group.checkpoint)",
        "generation = str(time.time())",
        _check("replay"),
    ),
    Mutant(
        "the batch that was written last is written again",
        "lake.py",
        """done >= mark.batch:
            return 0
        if "recorded_at" in table.names and "recorded_at" not in rows.column_names:""",
        """done > mark.batch:
            return 0
        if "recorded_at" in table.names and "recorded_at" not in rows.column_names:""",
        _check("kill"),
    ),
    Mutant(
        "the lease ends with Python",
        "app.py",
        "leases.hold_by_jvm(self.spark, self.root, names",
        "leases.hold_by_process(self.root, names",
        _check("writers"),
    ),
    Mutant(
        "dates by the session's time zone",
        "silver/attribute.py",
        'F.date_from_unix_date(F.expr("unix_seconds(served_at) div 86400").cast("int"))',
        'F.to_date("served_at")',
        _check("order"),
    ),
    Mutant(
        "an append that found no room is acknowledged",
        "log/embedded.py",
        """self._db.execute("ROLLBACK")
                raise""",
        'self._db.execute("ROLLBACK")',
        _check("disk_full"),
    ),
    Mutant(
        "a full disk is taken for a damaged log",
        "errors.py",
        ', "database or disk is full")',
        ")",
        "tests/test_disk_full.py::test_a_log_on_a_full_disk_refuses_an_append_whole_and_goes_on_when_there_is_room",
    ),
    Mutant(
        "compacted rows are told as new ones",
        "maintain.py",
        "data_change=False",
        "data_change=True",
        _check("storm"),
    ),
    Mutant(
        "files go that a query has yet to read",
        "maintain.py",
        "vacuum=vacuum and is_read(Lake(root), table)",
        "vacuum=vacuum",
        "tests/test_maintain.py::test_what_a_query_has_yet_to_read_stays",
    ),
    Mutant(
        "a restored append forgets when it was appended",
        "log/mend.py",
        "clocks[start], int(at[start]), block)",
        "clocks[start], 0, block)",
        _check("corruption"),
    ),
    Mutant(
        "a row of the log is not compared with its checksum",
        "log/block.py",
        "return self.checksum == checksum(",
        "return self.checksum >= 0 or checksum(",
        "tests/test_repair.py::test_a_damaged_log_is_found_and_restored_record_by_record",
    ),
    Mutant(
        "a commit is not compared with the checksum of its version",
        "checksum.py",
        "return bool(content.get(_COMMIT, _crc(commit)) == _crc(commit))",
        "return bool(content or commit)",
        "tests/test_health.py::test_any_flipped_bit_of_a_commit_is_found",
    ),
    Mutant(
        "a checkpoint behind its tables is taken",
        "guards.py",
        "if batch is not None and batch > planned:",
        "if batch is not None and batch > planned + 9:",
        "tests/test_health.py::test_a_start_refuses_an_old_checkpoint",
    ),
    Mutant(
        "labels name whatever column they share a value with",
        "guessing_labels.py",
        "return pairs[shared.index(max(shared))]",
        "return pairs[shared.index(min(shared))]",
        "tests/test_onboarding.py::test_a_score_and_a_yes_or_no_in_the_other_file",
    ),
    Mutant(
        "a closing frontier knows only its own import",
        "importing.py",
        "reports, latest = [], latest_of(state_dir)",
        "reports, latest = [], None",
        "tests/test_importing.py::test_a_closing_frontier_is_not_before_what_an_earlier_import_brought",
    ),
    Mutant(
        "a data file is believed without a look at what its name says",
        "files.py",
        "if is_whole(file) is False:",
        "if not file:",
        "tests/test_files.py::test_a_flipped_bit_anywhere_is_an_error",
    ),
    Mutant(
        "a file is found by its address",
        "verify/stored.py",
        'file = path / unquote(action["path"])',
        "file = table.file_uris()[0]",
        "tests/test_stored.py::test_a_lake_may_have_any_name",
    ),
    Mutant(
        "an error that nobody foresaw is let through",
        "unforeseen.py",
        'return HindsightError("unexpected",',
        'raise error; HindsightError("unexpected",',
        "tests/test_unforeseen.py::test_every_error_has_a_code",
    ),
    Mutant(
        "an old backup of a table is taken",
        "guards.py",
        "< noted.get(table.name, -1) <= progress.batch:",
        "< noted.get(table.name, -1) <= -1:",
        _check("rebuild"),
    ),
    Mutant(
        "doctor knows of no batch that a table lacks",
        "health/marks.py",
        "< query.noted.get(name, -1) <= query.done:",
        "< query.noted.get(name, -1) <= -1:",
        _check("rebuild"),
    ),
    Mutant(
        "a fresh checkpoint is taken over tables that are filled",
        "guards.py",
        """if f"job={job.name}," in covers:""",
        "if not covers:",
        _check("rebuild"),
    ),
    Mutant(
        "a redrive forgets what has landed of the one before",
        "redrive.py",
        "gone = redriven(lake) | _on_the_way",
        "gone = _on_the_way",
        "tests/test_redrive.py::test_afterwards_there_is_nothing_left_to_send[claimed]",
    ),
    Mutant(
        "a redrive forgets what is on its way",
        "redrive.py",
        'gone = redriven(lake) | _on_the_way(log, settle.last(lake)["end_offset"])',
        "gone = redriven(lake)",
        "tests/test_redrive.py::test_what_was_interrupted_is_completed[log]",
    ),
    Mutant(
        "history that is redriven stays behind its frontier",
        "redrive.py",
        "claims.append(end)",
        "claims.append(end)\n            del payloads[-1], claims[-1]",
        "tests/test_redrive.py::test_a_closed_history_is_moved_on_by_its_last_append[claimed]",
    ),
    Mutant(
        "who was erased is let in again",
        "silver/parse.py",
        """if declared.erased(event, stamp.offset):
        return event.request_id""",
        """if declared.erased(event, 0):
        return event.request_id""",
        "tests/test_erased.py::test_whoever_was_erased_is_refused_for_that_reason_first",
    ),
    Mutant(
        "what repeats an erased record stays",
        "erasure/plan.py",
        "_unique(stand, repeated, other)",
        "_unique(stand, other)",
        "tests/test_erase.py::test_nothing_of_them_is_left_and_nobody_else_moves",
    ),
    Mutant(
        "a cell of one person keeps what was taken back",
        "erasure/erase.py",
        "    net(root, found.statistics)\n",
        "",
        "tests/test_erase.py::test_what_was_taken_back_is_added_up",
    ),
    Mutant(
        "what is taken back is taken back again after a crash",
        "erasure/erase.py",
        'Mark(f"erase:{found.id}:{table.name}", 0)',
        'Mark(f"erase:{time.time()}:{table.name}", 0)',
        "tests/test_erase.py::test_a_crash_at_any_point_is_mended_by_finishing[append]",
    ),
    Mutant(
        "the join remembers who was erased",
        "erasure/erase.py",
        "state.forget(root)",
        "None",
        _check("erasure"),
    ),
    Mutant(
        "a row rule takes null for a value",
        "silver/unexpected.py",
        "return column.there & ~kept",
        "return ~kept",
        "tests/test_row_rules.py::test_null_breaks_nothing_but_not_null",
    ),
    Mutant(
        "row rules reach below their offset",
        "silver/declared.py",
        "if one.offset < offset), None)",
        "), None)",
        "tests/test_row_rules.py::test_rules_hold_above_their_offset_until_others_of_the_model_are_declared",
    ),
    Mutant(
        "failed inferences are held against row rules",
        "silver/parse.py",
        ' and event.said.status == "ok":\n            expected',
        ":\n            expected",
        "tests/test_row_rules.py::test_an_inference_that_failed_has_nothing_to_be_held_against",
    ),
    Mutant(
        "what has not landed of row rules is not read",
        "definitions.py",
        "for one in sorted((*landed, *coming)",
        "for one in sorted((*landed,)",
        "tests/test_expected.py::test_rules_that_have_not_landed_yet_count_as_declared",
    ),
    Mutant(
        "a release without the known-time cut",
        "dataset/standing.py",
        'pc.field("known_at") < pa.scalar(as_of, ',
        'pc.field("known_at") < pa.scalar(as_of.replace(year=9999), ',
        "tests/test_dataset.py::test_as_of_a_time_is_what_was_known_before_it_whatever_comes_later",
    ),
    Mutant(
        "a sample without stored weights",
        "dataset/sampling.py",
        """np.array([one["of"] / one["drawn"] for one in told])[codes]""",
        "1.0",
        "tests/test_dataset.py::test_classes_are_balanced_and_weights_undo_it",
    ),
    Mutant(
        "a group in two splits",
        "dataset/splitting.py",
        "        places = groups\n",
        "",
        "tests/test_dataset.py::test_by_group_nobody_is_in_two_splits[subject]",
    ),
    Mutant(
        "the manifest before its rows",
        "dataset/manifest.py",
        "for table, part in parts:",
        "for table, part in reversed(parts):",
        "tests/test_dataset.py::test_a_crash_leaves_nothing_half_released_and_asked_again_it_is_completed",
    ),
    Mutant(
        "a release of which rows were erased has no successor",
        "dataset/erased.py",
        "rows.num_rows < one.rows",
        "rows.num_rows > one.rows",
        "tests/test_dataset_use.py::test_an_erasure_leaves_a_successor_that_says_so",
    ),
    Mutant(
        "look at immature cells",
        "watch/windows.py",
        "seen = np.maximum(mature, known + MINUTE)",
        "seen = known + MINUTE",
        "tests/test_watch.py::test_a_window_is_not_looked_at_before_its_answers_are_due",
    ),
    Mutant(
        "alerts that stand already are forgotten",
        "watch/ledgers.py",
        "for rows, weight in ((there, -1), (made, 1)):",
        "for rows, weight in ((there, 0), (made, 1)):",
        "tests/test_watch.py::test_watching_again_posts_nothing",
    ),
    Mutant(
        "an incident fires again",
        "watch/triggers.py",
        "course.used |= {*incidents}",
        "",
        "tests/test_triggers.py::test_it_fires_once_for_one_incident_and_again_for_another",
    ),
    Mutant(
        "evidence that adds up to more than its error",
        "watch/anytime.py",
        "/ (start * (start + 1))",
        "/ start",
        "tests/test_detectors.py::test_the_evidence_is_at_most_one_in_the_mean_at_the_bound",
    ),
    Mutant(
        "no tag search before a run",
        "retrain/tracking.py",
        "found = self.runs(experiment, trigger_id, attempt)",
        "found: list[Any] = []",
        "tests/test_launch.py::test_a_run_whose_making_was_not_answered_is_found_and_not_made_again[1]",
    ),
    Mutant(
        "a late run is left",
        "retrain/tracking.py",
        "if kept not in (None, run.info.run_id):",
        "if False:",
        "tests/test_launch.py::test_what_comes_still_later_is_swept_at_the_next_turn",
    ),
    Mutant(
        "an interval for one look",
        "retrain/sequence.py",
        "(np.log(2 / alpha) + spent) / staked",
        "1.645 * np.sqrt(variance / count)",
        "tests/test_retrain_judging.py::test_who_looks_after_every_outcome_is_misled_no_more_often_than_stated[even]",
    ),
    Mutant(
        "segments do not count",
        "retrain/judge.py",
        "if group.low > group.limit:",
        "if False:",
        "tests/test_retrain_judging.py::test_who_is_better_on_the_whole_and_worse_in_a_segment_is_refused",
    ),
    Mutant(
        "what was taken back is judged",
        "dataset/standing.py",
        'pc.greater(beliefs["sign_sum_sum"], 0)',
        'pc.greater(beliefs["sign_sum_sum"], -9)',
        "tests/test_retrain_judging.py::test_examples_are_netted_and_come_in_the_order_in_which_they_were_known",
    ),
    Mutant(
        "a champion that was moved is replaced",
        "retrain/decide.py",
        "if now not in (champion, version):",
        "if False:",
        "tests/test_launch.py::test_a_champion_that_somebody_moved_is_not_replaced_by_what_was_not_judged_against_it",
    ),
)
