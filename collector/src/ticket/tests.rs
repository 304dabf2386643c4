use proptest::prelude::*;

use super::*;

fn standing(state: State) -> Standing {
    let (mut standing, _) = open(Severity::Minor, "a", "no-open-case");
    standing.state = state;
    standing
}

fn closing() -> Closing {
    Closing { cause: "fan".into(), fix: "new fan".into(), category: "a".into() }
}

/// Everything that any step may need.
fn whole<'a>(to: State, closing: &'a Closing, manager: bool) -> Wish<'a> {
    Wish {
        level: Some(Level::Engineering),
        closing: Some(closing),
        manager,
        ..Wish::to(to, Some("why"))
    }
}

#[test]
fn only_the_table_moves_a_ticket() {
    let closing = closing();
    for from in State::ALL.iter().copied() {
        for to in State::ALL.iter().copied() {
            let allowed = MOVES.iter().find(|m| (m.from, m.to) == (from, to));
            let major = || Standing { major: true, ..standing(from) };
            let with = step(&mut major(), &whole(to, &closing, true), Time(5));
            assert_eq!(with.is_ok(), allowed.is_some(), "{from:?} {to:?}");
            let without =
                step(&mut major(), &Wish { comment: None, ..whole(to, &closing, true) }, Time(5));
            let silent = allowed.is_some_and(|m| !m.comment_required);
            assert_eq!(without.is_ok(), silent, "{from:?} {to:?}");
            let other = step(&mut major(), &whole(to, &closing, false), Time(5));
            let anybody = allowed.is_some_and(|m| !m.manager);
            assert_eq!(other.is_ok(), anybody, "{from:?} {to:?}");
            let bare = step(
                &mut standing(from),
                &Wish { manager: true, ..Wish::to(to, Some("x")) },
                Time(5),
            );
            let needs = matches!(to, State::Escalated | State::Closed | State::Reviewed);
            assert_eq!(bare.is_ok(), allowed.is_some() && !needs, "{from:?} {to:?}");
        }
    }
    let long = "x".repeat(MAX_COMMENT_BYTES + 1);
    let wish = Wish::to(State::InDiagnosis, Some(&long));
    let refused = step(&mut standing(State::Recorded), &wish, Time(5));
    assert_eq!(refused, Err(Refused::CommentTooLong));
}

#[test]
fn what_goes_with_a_step_is_in_its_entry() {
    let mut one = standing(State::InDiagnosis);
    let up = |level| Wish { level: Some(level), ..Wish::to(State::Escalated, Some("hard")) };
    let entry = step(&mut one, &up(Level::L2), Time(1)).unwrap();
    assert_eq!(entry.detail["level"], "l2");
    assert_eq!(
        step(&mut one, &up(Level::L2), Time(1)),
        Err(Refused::LevelRequired),
        "it only climbs"
    );
    step(&mut one, &up(Level::Engineering), Time(1)).unwrap();
    assert_eq!(one.level, Some(Level::Engineering));
    let mut one = standing(State::Confirmed);
    for (cause, fix, category) in [("", "x", "a"), ("x", " ", "a"), ("x", "y", "h"), ("x", "y", "")]
    {
        let closing = Closing { cause: cause.into(), fix: fix.into(), category: category.into() };
        let wish = Wish { closing: Some(&closing), ..Wish::to(State::Closed, None) };
        assert_eq!(step(&mut one, &wish, Time(1)), Err(Refused::ReportRequired));
    }
    let closing = closing();
    let wish = Wish { closing: Some(&closing), ..Wish::to(State::Closed, None) };
    let entry = step(&mut one, &wish, Time(9)).unwrap();
    assert_eq!((entry.detail["fix"].as_str(), one.closed_at), (Some("new fan"), Some(Time(9))));
    let mut one = standing(State::WaitingApproval);
    let wish = Wish {
        plan: Some("carrier"),
        manager: true,
        ..Wish::to(State::Recorded, Some("known customer"))
    };
    assert_eq!(step(&mut one, &wish, Time(1)).unwrap().detail["plan"], "carrier");
}

#[test]
fn words_read_back() {
    for state in State::ALL.iter().copied() {
        assert_eq!(State::parse(state.as_str()), Some(state));
    }
    for severity in Severity::ALL {
        let priority = Priority::of(severity);
        assert_eq!(Priority::parse(priority.as_str()), Some(priority));
    }
    assert_eq!(Category::ALL.len(), 7);
}

#[test]
fn alarms_never_resolve_or_close_and_never_lower() {
    for state in State::ALL.iter().copied() {
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
fn what_gets_worse_opens_what_was_settled_and_asks_again_what_was_refused() {
    for state in State::ALL.iter().copied() {
        let mut one = standing(state);
        worsen(&mut one, Severity::Critical, "a", true, Time(8));
        let expected = match state {
            State::Rejected => State::WaitingApproval,
            _ if state.is_settled() => State::InDiagnosis,
            _ => state,
        };
        assert_eq!(one.state, expected, "{state:?}");
    }
}

#[test]
fn a_life_that_is_over_counts_but_does_not_reopen() {
    let mut one = standing(State::Resolved);
    recur(&mut one, "b", false, "same-identity", Time(9));
    assert_eq!((one.state, one.recurrences), (State::Resolved, 1));
    recur(&mut one, "c", true, "same-identity", Time(9));
    assert_eq!((one.state, one.recurrences), (State::InDiagnosis, 2));
}

#[test]
fn assigning_takes_up_only_what_is_open() {
    for state in State::ALL.iter().copied() {
        let mut one = standing(state);
        let done = assign(&mut one, None, "li", Time(1));
        let refused = state.is_over() || state == State::WaitingApproval;
        assert_eq!(done.is_err(), refused, "{state:?}");
        let expected = if state == State::Recorded { State::Assigned } else { state };
        assert_eq!(one.state, expected);
        let merged = merge(&mut standing(state), "T-000001", Time(1));
        assert_eq!(merged.is_err(), state.is_over(), "{state:?}");
    }
}

proptest! {
    #[test]
    fn prop_times_follow_the_state(steps in proptest::collection::vec((0_usize..14, any::<bool>(), 0_usize..3), 0..60)) {
        let closing = closing();
        let mut one = standing(State::Recorded);
        for (n, (to, manager, level)) in steps.into_iter().enumerate() {
            let at = Time(i64::try_from(n).unwrap());
            let wish = Wish { level: Some(Level::ALL[level]), ..whole(State::ALL[to], &closing, manager) };
            one.major = !manager;
            let before = one.clone();
            if step(&mut one, &wish, at).is_err() {
                prop_assert_eq!(&one, &before, "a refused step changes nothing");
            }
            prop_assert_eq!(one.closed_at.is_some(), one.state.is_over());
            if one.resolved_at.is_none() {
                prop_assert!(!one.state.is_settled());
            }
        }
    }
}
