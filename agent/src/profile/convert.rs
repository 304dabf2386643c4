//! How a raw value becomes a reading's value.

use std::sync::Arc;

use super::extract::Extract;
use super::oid::Oid;

/// What else is done to a number: a short fixed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convert {
    /// Hexadecimal text to a number. Before scaling.
    Hex,
    /// Eight bits, two's complement. Before scaling.
    Signed8,
    /// Sixteen bits, two's complement. Before scaling.
    Signed16,
    /// Thirty-two bits, two's complement. Before scaling.
    Signed32,
    /// The bits of an IEEE 754 single. Before scaling.
    Float32,
    /// °F to °C. After scaling.
    Fahrenheit,
    /// K to °C. After scaling.
    Kelvin,
    /// mW to dBm. After scaling; nothing for zero and below.
    DbmFromMilliwatt,
}

impl Convert {
    /// All, by the names that profiles use.
    pub const ALL: [(&str, Convert); 8] = [
        ("hex", Convert::Hex),
        ("signed8", Convert::Signed8),
        ("signed16", Convert::Signed16),
        ("signed32", Convert::Signed32),
        ("float32", Convert::Float32),
        ("fahrenheit", Convert::Fahrenheit),
        ("kelvin", Convert::Kelvin),
        ("dbm_from_mw", Convert::DbmFromMilliwatt),
    ];

    /// Before scaling; `None` = the number is none of this kind.
    pub fn decode(self, number: f64) -> Option<f64> {
        let signed = |bits: u32| {
            let range = 2f64.powi(bits as i32);
            let half = range / 2.0;
            let fits = number.fract() == 0.0 && (-half..range).contains(&number);
            fits.then_some(if number >= half { number - range } else { number })
        };
        match self {
            Convert::Signed8 => signed(8),
            Convert::Signed16 => signed(16),
            Convert::Signed32 => signed(32),
            Convert::Float32 => {
                let fits = number.fract() == 0.0 && (-2147483648.0..4294967296.0).contains(&number);
                let bits = fits.then_some(number as i64 as u32)?;
                Some(f64::from(f32::from_bits(bits))).filter(|n| n.is_finite())
            }
            _ => Some(number),
        }
    }

    /// After scaling.
    pub fn convert(self, number: f64) -> Option<f64> {
        match self {
            Convert::Fahrenheit => Some((number - 32.0) / 1.8),
            Convert::Kelvin => Some(number - 273.15),
            Convert::DbmFromMilliwatt => (number > 0.0).then(|| 10.0 * number.log10()),
            _ => Some(number),
        }
    }
}

/// How a raw value becomes a reading's value.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// Raw values that mean "no value here".
    pub ignore: Vec<String>,
    /// In this order.
    pub convert: Vec<Convert>,
    /// Multiplied with a number.
    pub scale: f64,
    /// Powers of ten that stand in other columns of the row.
    pub exponents: Vec<Exponent>,
    /// The value is a part of this object; the reading is the percentage.
    pub percent_of: Option<Oid>,
    /// The value is a bit string; the reading is the name of the first of these bits that is set,
    /// `none` if none is.
    pub bits: Vec<(u32, String)>,
    /// What of a text counts.
    pub extract: Extract,
    /// Unit.
    pub unit: Unit,
}

/// A power of ten in another column.
#[derive(Clone, Debug)]
pub struct Exponent {
    /// The column.
    pub column: Oid,
    /// Exponent by raw value; empty = the value itself.
    pub mapping: Vec<(String, i32)>,
    /// 1 or -1.
    pub sign: i32,
}

/// A unit.
#[derive(Clone, Debug)]
pub enum Unit {
    /// Always the same.
    Fixed(Arc<str>),
    /// By another column's raw value.
    ByColumn {
        /// The column.
        column: Oid,
        /// Unit by raw value.
        mapping: Vec<(String, Arc<str>)>,
    },
}
