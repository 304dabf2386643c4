use proptest::prelude::*;

use super::*;

fn part(name: &str, serial: &str, firmware: &str) -> Module {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Module {
        class: "module".into(),
        name: name.into(),
        serial: some(serial),
        firmware: some(firmware),
        ..Module::default()
    }
}

fn told(old: &[Module], new: &[Module]) -> Vec<String> {
    told_cut(old, new, (false, false))
}

fn told_cut(old: &[Module], new: &[Module], cut: (bool, bool)) -> Vec<String> {
    let line = |c: Change| {
        let text = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        format!("{} {}: {} > {}", c.name, c.what.as_str(), text(c.was), text(c.is))
    };
    compare(old, new, cut).changes.into_iter().map(line).collect()
}

#[test]
fn a_replaced_part_is_told_with_both_numbers() {
    let old = [part("PSU 1", "A", "1"), part("PSU 2", "B", "1")];
    let new = [part("PSU 1", "C", "1"), part("PSU 2", "B", "2")];
    assert_eq!(told(&old, &new), ["PSU 1 serial: A > C", "PSU 2 firmware: 1 > 2"]);
    assert_eq!(compare(&old, &new, (false, false)).before, [Some(0), Some(1)]);
    assert!(told(&new, &new).is_empty());
}

#[test]
fn parts_that_change_places_are_no_new_parts() {
    let old = [part("PSU 1", "A", ""), part("PSU 2", "B", "")];
    let new = [part("PSU 1", "B", ""), part("PSU 2", "A", "")];
    assert_eq!(told(&old, &new), ["PSU 1 moved: PSU 2 > PSU 1", "PSU 2 moved: PSU 1 > PSU 2"]);
    let new = [part("PSU 1", "C", ""), part("PSU 2", "A", "")];
    let expected = ["PSU 1 appeared: - > C", "PSU 2 moved: PSU 1 > PSU 2", "PSU 2 vanished: B > -"];
    assert_eq!(told(&old, &new), expected);
}

#[test]
fn parts_come_and_go_and_equal_ones_are_counted() {
    let fans = |n: usize| vec![part("Fan", "", ""); n];
    assert_eq!(told(&fans(3), &fans(2)), ["Fan vanished: - > -"]);
    assert_eq!(told(&fans(1), &fans(2)), ["Fan appeared: - > -"]);
    let renumbered: Vec<Module> =
        (0..3).map(|index| Module { index: index + 50, ..part("Fan", "", "") }).collect();
    assert!(told(&fans(3), &renumbered).is_empty(), "numbers of rows say nothing");
    assert_eq!(told(&[part("PSU", "", "")], &[part("PSU", "A", "")]), ["PSU serial: - > A"]);
}

#[test]
fn what_was_pushed_out_of_a_list_is_not_gone() {
    let (short, long) = ([part("1", "A", "")], [part("1", "A", ""), part("2", "B", "")]);
    assert!(told_cut(&long, &short, (false, true)).is_empty());
    assert!(told_cut(&short, &long, (true, false)).is_empty());
    assert_eq!(told_cut(&long, &short, (true, false)), ["2 vanished: B > -"]);
}

#[test]
fn of_the_device_only_what_was_said_before_can_change() {
    let device = |firmware: Option<&str>, model: Option<&str>| Device {
        firmware: firmware.map(str::to_owned),
        model: model.map(str::to_owned),
        ..Device::default()
    };
    let changes = compare_device(&device(Some("1"), None), &device(Some("2"), Some("M")));
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].what, changes[0].class.as_str()), (What::Firmware, DEVICE));
    assert!(compare_device(&device(Some("1"), Some("M")), &device(None, None)).is_empty());
}

#[test]
fn what_a_person_wrote_stays() {
    assert_eq!(follows("", None, Some("M")), Some("M"));
    assert_eq!(follows("Written", None, Some("M")), None);
    assert_eq!(follows("Written", Some("M"), Some("N")), None);
    assert_eq!(follows("M", Some("M"), Some("N")), Some("N"), "it was the agent's own word");
    assert_eq!(follows("M", Some("M"), Some("M")), None);
    assert_eq!(follows("M", Some("M"), None), None, "silence takes nothing away");
}

fn parts() -> impl Strategy<Value = Vec<Module>> {
    let some = |words: &'static [&'static str]| prop::sample::select(words);
    let one =
        (some(&["PSU 1", "PSU 2", "Fan", ""]), some(&["", "A", "B", "C"]), some(&["", "1", "2"]));
    prop::collection::vec(
        one.prop_map(|(name, serial, firmware)| part(name, serial, firmware)),
        0..8,
    )
}

proptest! {
    /// Every part of both lists is told once: as it was, as it changed, as new or as gone.
    #[test]
    fn prop_each_part_is_accounted_for(old in parts(), new in parts()) {
        let compared = compare(&old, &new, (false, false));
        let kept: Vec<usize> = compared.before.iter().flatten().copied().collect();
        let mut once = kept.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), kept.len(), "no part was two");
        let count = |what: What| compared.changes.iter().filter(|c| c.what == what).count();
        prop_assert_eq!(count(What::Appeared), new.len() - kept.len());
        prop_assert_eq!(count(What::Vanished), old.len() - kept.len());
        for (part, before) in new.iter().zip(&compared.before) {
            if let Some(was) = before {
                prop_assert!(old[*was].name == part.name || old[*was].serial == part.serial);
            }
        }
        prop_assert!(compare(&old, &old, (false, false)).changes.is_empty());
    }
}
