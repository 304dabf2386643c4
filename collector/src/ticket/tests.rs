use super::*;

fn standing(state: State) -> Standing {
    let (mut standing, _) = open(Severity::Minor, "a", "no-open-case");
    standing.state = state;
    standing
}

#[test]
fn only_the_table_moves_a_ticket() {
    for from in State::ALL {
        for to in State::ALL {
            let allowed = MOVES.iter().find(|m| (m.from, m.to) == (from, to));
            let with = step(&mut standing(from), to, Some("why"), Time(5));
            assert_eq!(with.is_ok(), allowed.is_some(), "{from:?} {to:?}");
            let without = step(&mut standing(from), to, None, Time(5));
            let silent = allowed.is_some_and(|m| !m.comment_required);
            assert_eq!(without.is_ok(), silent, "{from:?} {to:?}");
        }
    }
    let long = "x".repeat(MAX_COMMENT_BYTES + 1);
    let refused = step(&mut standing(State::New), State::InProgress, Some(&long), Time(5));
    assert_eq!(refused, Err(Refused::CommentTooLong));
}

#[test]
fn words_read_back() {
    for state in State::ALL {
        assert_eq!(State::parse(state.as_str()), Some(state));
    }
    for severity in Severity::ALL {
        let priority = Priority::of(severity);
        assert_eq!(Priority::parse(priority.as_str()), Some(priority));
    }
}

#[test]
fn alarms_never_resolve_or_close_and_never_lower() {
    for state in State::ALL {
        let mut one = standing(state);
        assert!(condition(&mut one, false, "a", Time(7)).is_some());
        assert_eq!((one.state, one.condition_cleared_at), (state, Some(Time(7))));
        assert!(condition(&mut one, false, "a", Time(6)).is_none());
        assert_eq!(one.condition_cleared_at, Some(Time(7)), "the latest clear counts");
        assert!(worsen(&mut one, Severity::Warning, "a", true, Time(8)).is_empty());
        assert_eq!((one.severity, one.priority), (Severity::Minor, Priority::P3));
        let worse = worsen(&mut one, Severity::Critical, "a", false, Time(8));
        assert_eq!(worse.iter().map(|e| e.what).collect::<Vec<_>>(), ["severity", "priority"]);
        assert_eq!(one.state, state, "not opened again where a newer ticket has the fault");
    }
}

#[test]
fn a_life_that_is_over_counts_but_does_not_reopen() {
    let mut one = standing(State::Resolved);
    recur(&mut one, "b", false, "same-identity", Time(9));
    assert_eq!((one.state, one.recurrences), (State::Resolved, 1));
    recur(&mut one, "c", true, "same-identity", Time(9));
    assert_eq!((one.state, one.recurrences), (State::InProgress, 2));
}
