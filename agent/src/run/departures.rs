//! Between the link and the ledger, which do not know each other.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::ledger::{Departure, Ledger, Settings, What};
use crate::link::Exit;
use crate::link::dial::meter::{Meters, Passage};
use crate::redact::Redactor;

/// Notes every departure before it is handed over.
pub(super) fn exit(ledger: Ledger, redactor: Arc<Redactor>) -> Exit {
    let notes = move |departure: crate::link::Departure<'_>| {
        let (kind, road) = (departure.kind.to_owned(), departure.road.to_owned());
        ledger.departs(Departure { kind, road, envelope: departure.envelope }, departure.payload);
    };
    // The road in a heartbeat may name a proxy of the house.
    Exit::new(notes, move |text| redactor.text(text).into_owned())
}

/// The same for an enrolment, which comes before there need be a configuration; and its connections.
pub fn enrolment_exit(state_dir: &Path) -> (Exit, Meters) {
    // Opened only when something leaves: an enrolment that gets nowhere makes no ledger.
    let (state_dir, limits) = (state_dir.to_owned(), Settings::default());
    let opened = Arc::new(OnceLock::new());
    let ledger = move || opened.get_or_init(|| Ledger::open(&state_dir, limits)).clone();
    let connections = ledger.clone();
    let notes = move |departure: crate::link::Departure<'_>| {
        let (kind, road) = (departure.kind.to_owned(), departure.road.to_owned());
        let departs = Departure { kind, road, envelope: departure.envelope };
        ledger().departs(departs, departure.payload);
    };
    let meters = Meters::observed_by(move |passage| connections().note(what(passage)));
    (Exit::new(notes, str::to_owned), meters)
}

/// Notes the begin and the end of every connection, with its bytes.
pub(super) fn meters(ledger: Ledger) -> Meters {
    Meters::observed_by(move |passage| ledger.note(what(passage)))
}

fn what(passage: Passage<'_>) -> What {
    match passage {
        Passage::Opened(connection) => What::Opened {
            connection: connection.number,
            road: connection.road.clone(),
            address: connection.address.to_string(),
        },
        Passage::Closed(connection) => What::Closed {
            connection: connection.number,
            bytes_out: connection.bytes_out(),
            bytes_in: connection.bytes_in(),
        },
    }
}
