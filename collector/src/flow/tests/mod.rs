//! The same scenarios on SQLite and on a PostgreSQL server that the tests start themselves.
//!
//! On SQLite each scenario is a test of its own; on PostgreSQL those of a room run one
//! after the other in one test, each in its own database of the room's server.

mod agent;
mod alerts;
mod audit;
mod backup;
mod bundles;
mod check;
mod clear_all;
mod clocks;
mod delivery;
mod desk;
mod diagnosis;
mod duty;
mod faults;
mod inventory;
mod knowledge;
mod maintenance;
mod notices;
mod oidc;
mod own;
mod pace;
mod people;
mod postgres;
mod probes;
mod property;
mod refusals;
mod report;
mod restart;
mod resync;
mod rows;
mod scribe;
mod search;
mod silence;
mod split;
mod views;
mod world;
mod year;

use world::World;

macro_rules! scenarios {
    ($($room:ident [$($name:ident),* $(,)?])*) => {
        mod on_sqlite {
            $($(#[test]
            fn $name() {
                super::world::on_sqlite(super::$room::$name);
            })*)*
        }

        mod on_postgres {
            $(#[test]
            fn $room() {
                let Some(server) = super::postgres::Server::start() else { return };
                $(
                    println!("{}", stringify!($name));
                    super::world::on_postgres(&server, super::$room::$name);
                )*
            })*
        }
    };
}

scenarios! {
    scribe [many_at_once_are_a_whole_chain_and_nobody_waits_for_each]
    alerts [
        an_alert_becomes_a_ticket_and_its_end_clears_it,
        another_start_is_the_same_fault_and_a_late_word_none,
        what_fired_again_with_the_same_start_is_not_lost,
        a_flood_of_alerts_is_taken_once_by_two_at_once,
        a_token_for_a_site_speaks_for_that_site_alone,
        alerts_go_by_the_rules_of_diagnosis_and_beside_agents,
    ]
    inventory [
        a_replaced_module_is_told_with_both_numbers,
        what_comes_late_does_not_bring_old_modules_back,
        the_installed_base_follows_the_agent_but_not_over_what_people_wrote,
        an_inventory_is_bounded_and_so_is_what_is_kept_of_its_changes,
    ]
    knowledge [
        an_article_is_drawn_from_a_closed_ticket_and_offered_to_the_next,
        articles_are_found_by_their_words,
        two_authors_lose_nothing,
    ]
    search [
        tickets_are_found_by_their_words,
        old_tickets_are_read_bit_by_bit,
        the_queue_by_time_left_filters_and_pages,
    ]
    report [
        both_paths_stand_beside_each_other,
        a_report_goes_through_all_pages_of_its_time,
    ]
    split [
        what_is_another_matter_gets_a_ticket_of_its_own,
    ]
    views [
        views_are_kept_shared_and_taken_from_nobody,
    ]
    delivery [
        a_fault_becomes_a_ticket,
        duplicates_change_nothing_and_are_answered_again,
        a_gap_holds_the_mark_and_filling_it_counts_what_came_ahead,
        an_unknown_stream_waits_for_the_heartbeat,
        a_known_heartbeat_says_where_a_stream_begins,
        an_envelope_that_was_salvaged_into_a_new_epoch_counts_once,
        a_copied_agent_is_refused,
        given_up_numbers_are_passed,
        a_folded_life_is_told_and_its_numbers_are_passed,
        carried_by_hand_or_by_wire_is_the_same,
        the_balance_counts_what_is_beside_the_marks,
        a_flood_over_many_agents,
        heartbeats_and_wills,
        a_heartbeat_of_one_who_waits_is_answered,
    ]
    diagnosis [
        ten_thousand_events_of_one_feed_and_a_disk_are_two_tickets,
        a_cause_that_comes_late_takes_what_nobody_touched,
        a_consequence_that_comes_again_alone_is_a_fault_of_its_own,
        transients_are_held_down_and_flapping_is_one_ticket,
        what_never_calls_home_does_when_it_gets_worse,
        an_agents_parent_explains_too,
        the_same_fault_on_three_sites_is_a_problem_of_the_fleet,
    ]
    desk [
        two_people_editing_at_once_lose_nothing,
        a_faulty_file_changes_nothing,
        cover_is_told_and_hides_no_fault,
        cover_by_site_and_customer_as_they_are_kept,
        a_person_records_a_ticket,
        assigned_set_apart_and_only_once,
        a_duplicate_gives_its_alarms_away,
    ]
    faults [
        recurrence_attaches_and_clears_the_mark,
        severity_rises_and_never_falls,
        clearing_does_not_close,
        a_fault_after_closing_opens_another_ticket,
        a_resolved_ticket_is_opened_again_by_the_fault,
        a_clear_without_its_raise_is_a_ticket_too,
        getting_worse_opens_a_closed_ticket_again,
        tests_are_apart,
    ]
    people [
        the_way_of_a_ticket,
        of_two_at_once_one_wins,
        people_and_agents_at_once,
        a_closed_ticket_stays_closed_while_a_newer_one_is_open,
    ]
    clocks [
        a_ticket_begins_its_clocks,
        without_a_promise_there_are_no_clocks,
        each_step_is_told_once,
        two_collectors_tell_it_once,
        a_worse_fault_is_promised_more,
        parts_are_started_by_hand,
        a_person_lets_a_clock_rest,
        another_plan_is_promised,
        plans_and_calendars_have_versions,
        a_calendar_that_changes_moves_what_is_due,
    ]
    duty [
        a_ticket_goes_to_who_is_on_duty,
        a_call_that_nobody_answers_goes_on,
        two_collectors_call_nobody_twice,
        steps_of_clocks_call_their_levels,
        people_ask_and_a_major_incident_goes_to_a_manager,
        what_is_published_stays_and_is_swapped,
        who_is_absent_is_not_called,
        without_a_roster_people_assign,
    ]
    notices [
        what_is_told_is_written_with_it,
        mail_goes_and_is_tried_again,
        receivers_get_what_they_can_check,
        quiet_hours_and_choices,
        a_storm_is_folded_and_a_dead_receiver_delays_no_other,
        two_collectors_send_once,
    ]
    refusals [
        each_is_kept_answered_and_passed,
        what_the_database_does_not_take_is_refused_alone,
        strangers_are_not_heard,
        other_agents_alarms_are_safe,
        refusals_are_bounded,
        evidence_is_bounded,
    ]
    probes [
        a_probe_becomes_a_shadow_ticket,
        what_is_no_probe_is_refused,
        old_shadow_tickets_go,
        a_path_that_is_not_proven_is_missed,
    ]
    restart [
        killed_anywhere_and_sent_again,
        a_database_that_is_away_at_the_start_is_waited_for,
        a_newer_schema_is_refused,
        old_rows_go,
    ]
    property [
        every_order_ends_the_same,
    ]
    bundles [
        a_bundle_arrives_once,
        strangers_and_tricks_are_refused,
        room_is_bounded,
        a_wrong_hash_is_found_three_times,
        what_is_over_goes_and_what_differs_is_told,
        two_collectors_do_not_mix,
        an_envelope_names_a_bundle_once,
    ]
    backup [
        taken_while_writing_and_restored,
        damage_is_found,
    ]
    resync [
        a_difference_is_asked_for_and_healed,
        the_last_whole_sets_are_kept,
        what_came_after_the_snapshot_stays,
        a_later_snapshot_replaces_an_unfinished_one,
        another_store_is_told_at_once,
        a_rolled_back_agent_ends_with_the_truth,
        asking_is_bounded,
        bad_pages_are_refused,
        any_order_ends_with_the_agents_set,
    ]
    clear_all [
        a_device_is_over_at_once_and_other_things_stay,
        the_whole_agent_is_over_and_nobody_else,
        what_came_after_it_stands,
        bad_ones_are_refused,
        whatever_is_sent_again_the_end_is_the_agents,
    ]
    silence [
        five_missed_are_one_ticket,
        good_byes_and_wills_are_told_apart,
        only_who_has_listened_long_enough_judges,
        the_site_is_looked_at,
        the_revoked_are_not_expected,
        a_clock_that_was_set_back_hides_nobody,
    ]
    own [
        a_missed_path_is_a_ticket,
        a_missed_path_that_is_not_to_be_proven_is_over,
        a_list_that_leaves_paths_out_closes_nothing,
        both_sides_are_one_ticket,
        what_both_sides_told_is_split_off_whole,
        a_certificate_of_ours_that_ends_is_a_ticket,
    ]
    maintenance [
        agents_are_told_until_they_have_them,
        what_no_agent_could_keep_is_refused,
    ]
    oidc [
        an_identity_is_one_user_and_never_somebody_elses,
    ]
    rows [
        tokens_are_taken_once,
        users_and_sessions,
        lists_filter_and_page,
    ]
    audit [
        many_at_once_make_one_chain_and_tampering_is_found,
        the_record_is_filtered,
        the_record_is_looked_along,
        the_first_use_supersedes,
    ]
}
