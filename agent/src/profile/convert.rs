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
            Convert::Fahrenheit => Some(thousandths((number - 32.0) / 1.8)),
            Convert::Kelvin => Some(thousandths(number - 273.15)),
            Convert::DbmFromMilliwatt => (number > 0.0).then(|| thousandths(10.0 * number.log10())),
            _ => Some(number),
        }
    }
}

/// No sensor is more exact, and people read it.
fn thousandths(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// `number * factor`, but 214 * 0.1 is 21.4: a tenth has no exact place in binary, ten has.
pub fn scaled(number: f64, factor: f64) -> f64 {
    let divisor = (1.0 / factor).round();
    let divides = factor.abs() < 1.0 && (divisor * factor - 1.0).abs() < 1e-12;
    if divides { number / divisor } else { number * factor }
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
    /// By the raw value of another column, or of a single object for all rows.
    ByColumn {
        /// The column; with an instance the object.
        column: Oid,
        /// Unit by raw value; `fahrenheit` and `kelvin` are converted to °C.
        mapping: Vec<(String, Arc<str>)>,
    },
}

impl Unit {
    /// The column that says it.
    pub fn column(&self) -> Option<&Oid> {
        match self {
            Unit::ByColumn { column, .. } if !is_single(column) => Some(column),
            _ => None,
        }
    }

    /// The single object that says it.
    pub fn object(&self) -> Option<&Oid> {
        match self {
            Unit::ByColumn { column, .. } if is_single(column) => Some(column),
            _ => None,
        }
    }

    /// The conversion to °C that a unit's name stands for.
    pub fn to_celsius(name: &str) -> Option<Convert> {
        match name {
            "fahrenheit" => Some(Convert::Fahrenheit),
            "kelvin" => Some(Convert::Kelvin),
            _ => None,
        }
    }
}

/// No column of any MIB is called 0: with an instance it is a single object.
fn is_single(oid: &Oid) -> bool {
    oid.arcs().last() == Some(&0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tenths_are_tenths() {
        for (number, factor, expected) in [
            (214.0, 0.1, "21.4"),
            (1.0, 0.5, "0.5"),
            (3.0, 0.3, "0.8999999999999999"),
            (7.0, 10.0, "70"),
        ] {
            assert_eq!(scaled(number, factor).to_string(), expected);
        }
        let converted = |convert: Convert, n| convert.convert(n).map(|n| n.to_string());
        assert_eq!(converted(Convert::Fahrenheit, 70.0).as_deref(), Some("21.111"));
        assert_eq!(converted(Convert::Kelvin, 296.5).as_deref(), Some("23.35"));
    }

    proptest! {
        /// It is the product, but for the last bit.
        #[test]
        fn prop_scaling_is_multiplying(number in -1e12f64..1e12, factor in -1e6f64..1e6) {
            let (found, product) = (scaled(number, factor), number * factor);
            prop_assert!((found - product).abs() <= product.abs() * 1e-11, "{found} {product}");
        }
    }
}
