use super::*;

const HOUR: i64 = 3_600_000;

fn told(kind: Kind, resource: &str, raised: bool, at: i64) -> Told {
    Told { kind, resource: resource.into(), raised, at }
}

fn log(raised: bool, at: i64) -> Told {
    told(Kind::Log, "sd1", raised, at)
}

fn console(raised: bool, at: i64) -> Told {
    told(Kind::Console, "unit-1", raised, at)
}

fn alarm(kind: Kind, resource: &str, active: bool, ticket: &str) -> SeenAlarm {
    let ticket = (!ticket.is_empty()).then(|| ticket.to_owned());
    let about = "disk-io-error".into();
    SeenAlarm { device: kind.device().into(), resource: resource.into(), about, active, ticket }
}

fn ticket(kind: Kind, resource: &str, cleared: bool, number: &str) -> SeenTicket {
    SeenTicket {
        number: number.into(),
        device: kind.device().into(),
        resource: resource.into(),
        cleared,
        about: "disk-io-error".into(),
    }
}

fn seen(alarms: Vec<SeenAlarm>, tickets: Vec<SeenTicket>) -> Seen {
    Seen { alarms, tickets, losses: Vec::new() }
}

fn console_deaf(from: i64, to: i64) -> Vec<SeenLoss> {
    vec![SeenLoss { source: Kind::Console.source().into(), from, to }]
}

fn wrongs(told: &[Told], seen: &Seen) -> Vec<Wrong> {
    judge(told, seen, &[]).findings.into_iter().map(|f| f.wrong).collect()
}

#[test]
fn a_fault_in_one_ticket_is_right() {
    let seen = seen(
        vec![alarm(Kind::Log, "sd1", true, "T-1")],
        vec![ticket(Kind::Log, "sd1", false, "T-1")],
    );
    let verdict = judge(&[log(true, 5)], &seen, &[]);
    assert_eq!(verdict.findings, []);
    let count = Count { faults: 1, lives: 1, tickets: 1, declared: 0, lost: 0, standing: 1 };
    assert_eq!(verdict.total(), count);
}

#[test]
fn a_fault_without_alarm_is_lost() {
    assert_eq!(wrongs(&[log(true, 5)], &Seen::default()), [Wrong::Lost]);
    assert_eq!(judge(&[log(true, 5)], &Seen::default(), &[]).total().lost, 1);
    let history = [log(true, 5), log(false, 6), log(true, 7)];
    let one = seen(
        vec![alarm(Kind::Log, "sd1", true, "T-1")],
        vec![ticket(Kind::Log, "sd1", false, "T-1")],
    );
    assert_eq!(wrongs(&history, &one), [Wrong::Lost]);
}

#[test]
fn two_lives_or_two_tickets_of_one_fault_are_found() {
    let cleared = alarm(Kind::Log, "sd1", false, "T-1");
    let active = alarm(Kind::Log, "sd1", true, "T-1");
    let one = ticket(Kind::Log, "sd1", false, "T-1");
    let two_lives = seen(vec![cleared, active.clone()], vec![one.clone()]);
    assert_eq!(wrongs(&[log(true, 5)], &two_lives), [Wrong::Twice]);
    let two_tickets = seen(vec![active], vec![one, ticket(Kind::Log, "sd1", false, "T-2")]);
    assert_eq!(wrongs(&[log(true, 5)], &two_tickets), [Wrong::Twice]);
}

#[test]
fn a_wrong_state_at_the_end_is_found() {
    let standing = seen(
        vec![alarm(Kind::Log, "sd1", true, "T-1")],
        vec![ticket(Kind::Log, "sd1", false, "T-1")],
    );
    let clear = seen(
        vec![alarm(Kind::Log, "sd1", false, "T-1")],
        vec![ticket(Kind::Log, "sd1", true, "T-1")],
    );
    assert_eq!(wrongs(&[log(true, 5), log(false, 6)], &standing), [Wrong::StandsButClear]);
    assert_eq!(wrongs(&[log(true, 5)], &clear), [Wrong::ClearButStands]);
    let mut disagreeing = clear.clone();
    disagreeing.tickets[0].cleared = false;
    assert_eq!(wrongs(&[log(true, 5), log(false, 6)], &disagreeing), [Wrong::TicketDisagrees]);
}

#[test]
fn an_alarm_outside_its_ticket_is_found() {
    let mut without = seen(vec![alarm(Kind::Log, "sd1", true, "")], vec![]);
    assert_eq!(wrongs(&[log(true, 5)], &without), [Wrong::NoCase]);
    without.alarms[0].ticket = Some("T-9".into());
    without.tickets = vec![ticket(Kind::Log, "sd1", false, "T-1")];
    assert_eq!(wrongs(&[log(true, 5)], &without), [Wrong::NoCase]);
}

#[test]
fn a_declared_loss_excuses_what_it_covers_and_only_that() {
    let mut seen = Seen { losses: console_deaf(100, 200), ..Seen::default() };
    let verdict = judge(&[console(true, 150)], &seen, &[]);
    assert_eq!(verdict.findings, []);
    assert_eq!(verdict.total().declared, 1);
    assert_eq!(wrongs(&[console(true, 250)], &seen), [Wrong::Lost]);
    assert_eq!(wrongs(&[log(true, 150)], &seen), [Wrong::Lost], "another source's deafness");
    // The clearing line was in the interval: the alarm may stand, and may have been cleared.
    seen.alarms = vec![alarm(Kind::Console, "unit-1", true, "T-1")];
    seen.tickets = vec![ticket(Kind::Console, "unit-1", false, "T-1")];
    assert_eq!(wrongs(&[console(true, 50), console(false, 150)], &seen), []);
    assert_eq!(
        wrongs(&[console(true, 50), console(false, 250)], &seen),
        [Wrong::StandsButClear],
        "heard, so it must be clear"
    );
}

#[test]
fn a_life_may_span_what_was_not_heard() {
    // raised, (cleared, raised: not heard), cleared: one life or two.
    let history = [console(true, 50), console(false, 120), console(true, 150), console(false, 300)];
    for lives in [1, 2] {
        let alarms = vec![alarm(Kind::Console, "unit-1", false, "T-1"); lives];
        let tickets = vec![ticket(Kind::Console, "unit-1", true, "T-1")];
        let seen = Seen { alarms, tickets, losses: console_deaf(100, 200) };
        assert_eq!(wrongs(&history, &seen), [], "{lives} lives");
    }
}

#[test]
fn intervals_in_a_jumped_clock_are_turned_back() {
    let day = 24 * HOUR;
    let now = 1_000 * day;
    let clock =
        [ClockStep { at: now + 60_000, ahead: day }, ClockStep { at: now + 120_000, ahead: 0 }];
    let covered = |from: i64, to: i64, at: i64| {
        let seen = Seen { losses: console_deaf(from, to), ..Seen::default() };
        judge(&[console(true, at)], &seen, &clock).findings.is_empty()
    };
    // Wholly inside the jump.
    assert!(covered(now + day + 70_000, now + day + 80_000, now + 75_000));
    assert!(!covered(now + day + 70_000, now + day + 80_000, now + 90_000));
    // Begun before the jump, ended in it; begun in it, ended after it (from > to in its own clock).
    assert!(covered(now + 50_000, now + day + 70_000, now + 65_000));
    assert!(covered(now + day + 110_000, now + 130_000, now + 125_000));
    // A fault of tomorrow is not excused by an interval that only the jump makes long.
    assert!(!covered(now + 50_000, now + day + 70_000, now + 80_000));
}

#[test]
fn strangers_are_found_and_the_agents_own_tickets_are_not() {
    let mut stranger = ticket(Kind::Array, "Disk 7", false, "T-1");
    let silent = SeenTicket {
        number: "T-2".into(),
        device: "site-1".into(),
        resource: String::new(),
        cleared: true,
        about: "agent-silent".into(),
    };
    let found = judge(&[], &seen(vec![], vec![stranger.clone(), silent.clone()]), &[]);
    assert_eq!(found.findings.len(), 1);
    assert_eq!(found.of(&Wrong::Stranger), 1);
    assert_eq!(found.others.get("agent-silent"), Some(&1));
    // The system's tickets about itself must be over, too.
    for about in ["agent.silent.lost", "path.not-proven"] {
        let about = about.to_owned();
        let stands = SeenTicket { cleared: false, about, ..silent.clone() };
        assert_eq!(wrongs(&[], &seen(vec![], vec![stands])), [Wrong::StandsButClear]);
    }
    let alarm_of = |about: &str, active| SeenAlarm {
        device: "site-1".into(),
        resource: String::new(),
        about: about.into(),
        active,
        ticket: Some("T-2".into()),
    };
    for about in ["agent-silent", "path-not-proven"] {
        let stands = seen(vec![alarm_of(about, true)], vec![]);
        assert_eq!(wrongs(&[], &stands), [Wrong::StandsButClear]);
        assert_eq!(wrongs(&[], &seen(vec![alarm_of(about, false)], vec![])), []);
    }
    // A device that did not answer: that may have been, but must be over.
    stranger.resource = String::new();
    let over = seen(vec![alarm(Kind::Array, "", false, "T-1")], vec![stranger.clone()]);
    assert_eq!(wrongs(&[], &over), []);
    let stands = seen(vec![alarm(Kind::Array, "", true, "T-1")], vec![stranger]);
    assert_eq!(wrongs(&[], &stands), [Wrong::StandsButClear]);
    // snmpd tells of the real machine's load: that is nobody's fault here.
    let load = seen(vec![alarm(Kind::Snmpd, "load Load-1", true, "T-3")], vec![]);
    assert_eq!(wrongs(&[], &load), []);
    let unreachable = seen(vec![alarm(Kind::Snmpd, "", true, "T-3")], vec![]);
    assert_eq!(wrongs(&[], &unreachable), [Wrong::StandsButClear]);
}

#[test]
fn the_counts_close() {
    let mut history = Vec::new();
    let mut shown = Seen { losses: console_deaf(1_000, 2_000), ..Seen::default() };
    for n in 0..50 {
        let at = n * 60;
        let resource = format!("unit-{n}");
        history.push(told(Kind::Console, &resource, true, at));
        if !(1_000..=2_000).contains(&at) {
            shown.alarms.push(alarm(Kind::Console, &resource, true, &resource));
            shown.tickets.push(ticket(Kind::Console, &resource, false, &resource));
        }
    }
    let verdict = judge(&history, &shown, &[]);
    assert_eq!(verdict.findings, []);
    let total = verdict.total();
    assert_eq!(total.faults, total.lives + total.declared);
    assert_eq!((total.faults, total.declared), (50, 17));
}
