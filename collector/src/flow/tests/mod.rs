//! The same scenarios on SQLite and on a PostgreSQL server that the tests start themselves.
//!
//! On SQLite each scenario is a test of its own; on PostgreSQL they run one after the other in one
//! test, each in its own database of one server.

mod agent;
mod audit;
mod backup;
mod bundles;
mod check;
mod clear_all;
mod delivery;
mod faults;
mod own;
mod pace;
mod people;
mod postgres;
mod probes;
mod property;
mod refusals;
mod restart;
mod resync;
mod rows;
mod silence;
mod world;

use world::World;

macro_rules! scenarios {
    ($($room:ident :: $name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[test]
            fn $name() {
                super::world::on_sqlite(super::$room::$name);
            })*
        }

        #[test]
        fn on_postgres() {
            let Some(server) = postgres::Server::start() else { return };
            $(
                println!("{}", stringify!($name));
                world::on_postgres(&server, $room::$name);
            )*
        }
    };
}

scenarios![
    delivery::a_fault_becomes_a_ticket,
    delivery::duplicates_change_nothing_and_are_answered_again,
    delivery::a_gap_holds_the_mark_and_filling_it_counts_what_came_ahead,
    delivery::an_unknown_stream_waits_for_the_heartbeat,
    delivery::a_known_heartbeat_says_where_a_stream_begins,
    delivery::an_envelope_that_was_salvaged_into_a_new_epoch_counts_once,
    delivery::a_copied_agent_is_refused,
    delivery::given_up_numbers_are_passed,
    delivery::a_folded_life_is_told_and_its_numbers_are_passed,
    delivery::carried_by_hand_or_by_wire_is_the_same,
    delivery::the_balance_counts_what_is_beside_the_marks,
    delivery::a_flood_over_many_agents,
    delivery::heartbeats_and_wills,
    delivery::a_heartbeat_of_one_who_waits_is_answered,
    faults::recurrence_attaches_and_clears_the_mark,
    faults::severity_rises_and_never_falls,
    faults::clearing_does_not_close,
    faults::a_fault_after_closing_opens_another_ticket,
    faults::a_resolved_ticket_is_opened_again_by_the_fault,
    faults::a_clear_without_its_raise_is_a_ticket_too,
    faults::getting_worse_opens_a_closed_ticket_again,
    faults::tests_are_apart,
    people::the_way_of_a_ticket,
    people::of_two_at_once_one_wins,
    people::people_and_agents_at_once,
    people::a_closed_ticket_stays_closed_while_a_newer_one_is_open,
    refusals::each_is_kept_answered_and_passed,
    refusals::what_the_database_does_not_take_is_refused_alone,
    refusals::strangers_are_not_heard,
    refusals::other_agents_alarms_are_safe,
    refusals::refusals_are_bounded,
    refusals::evidence_is_bounded,
    probes::a_probe_becomes_a_shadow_ticket,
    probes::what_is_no_probe_is_refused,
    probes::old_shadow_tickets_go,
    probes::a_path_that_is_not_proven_is_missed,
    restart::killed_anywhere_and_sent_again,
    restart::a_database_that_is_away_at_the_start_is_waited_for,
    restart::a_newer_schema_is_refused,
    restart::old_rows_go,
    property::every_order_ends_the_same,
    bundles::a_bundle_arrives_once,
    bundles::strangers_and_tricks_are_refused,
    bundles::room_is_bounded,
    bundles::a_wrong_hash_is_found_three_times,
    bundles::what_is_over_goes_and_what_differs_is_told,
    bundles::two_collectors_do_not_mix,
    bundles::an_envelope_names_a_bundle_once,
    backup::taken_while_writing_and_restored,
    backup::damage_is_found,
    resync::a_difference_is_asked_for_and_healed,
    resync::the_last_whole_sets_are_kept,
    resync::what_came_after_the_snapshot_stays,
    resync::a_later_snapshot_replaces_an_unfinished_one,
    resync::another_store_is_told_at_once,
    resync::a_rolled_back_agent_ends_with_the_truth,
    resync::asking_is_bounded,
    resync::bad_pages_are_refused,
    resync::any_order_ends_with_the_agents_set,
    clear_all::a_device_is_over_at_once_and_other_things_stay,
    clear_all::the_whole_agent_is_over_and_nobody_else,
    clear_all::what_came_after_it_stands,
    clear_all::bad_ones_are_refused,
    clear_all::whatever_is_sent_again_the_end_is_the_agents,
    silence::five_missed_are_one_ticket,
    silence::good_byes_and_wills_are_told_apart,
    silence::only_who_has_listened_long_enough_judges,
    silence::the_site_is_looked_at,
    silence::the_revoked_are_not_expected,
    silence::a_clock_that_was_set_back_hides_nobody,
    own::a_missed_path_is_a_ticket,
    own::a_missed_path_that_is_not_to_be_proven_is_over,
    own::both_sides_are_one_ticket,
    own::a_certificate_of_ours_that_ends_is_a_ticket,
    rows::tokens_are_taken_once,
    rows::users_and_sessions,
    rows::lists_filter_and_page,
    audit::many_at_once_make_one_chain_and_tampering_is_found,
    audit::the_record_is_filtered,
    audit::the_record_is_looked_along,
    audit::the_first_use_supersedes,
];
