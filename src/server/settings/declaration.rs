//! Makes the arguments, the configuration file and the fields of `Settings` from one declaration per setting. Knows the form of a declaration;
//! no setting.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::values::{ConsoleMode, Fsync, Networks, Origins, Period};

/// Declares `$args`, which clap and serde parse, `$settings`, and `$composed`, the fields of `$settings` that are no value of `$args`.
macro_rules! settings {
    (
        $(#[$of_args:meta])*
        pub struct $args:ident;

        $(#[$of_settings:meta])*
        pub struct $settings:ident {
            $($(#[$of_part:meta])* pub $part:ident: $part_type:ty,)*
        }

        $(#[$of_composed:meta])*
        pub struct $composed:ident;

        $(
            $(#[doc = $help:literal])+
            #[arg($($arg:tt)*)]
            $name:ident: $raw:ty
            $(=> $decided:ty)?
            $(= $default:literal)?
            $(= none $without:literal)?
            $([$range:expr])?
            $(, $details:literal)?;
        )*
    ) => {
        $(#[$of_args])*
        pub struct $args {
            /// Read settings from this TOML file
            #[arg(long, env = "CONFWATCH_CONFIG", value_name = "FILE")]
            #[serde(skip)]
            pub config: Option<PathBuf>,
            $(
                #[arg(
                    long,
                    help = concat!($($help,)+ $(" [default: ", $default, "]",)? $(" [default: ", $without, "]")?).trim_start(),
                    $($arg)*
                )]
                pub $name: Option<$raw>,
            )*
        }

        $(#[$of_settings])*
        pub struct $settings {
            $($(pub $name: $decided,)?)*
            $($(#[$of_part])* pub $part: $part_type,)*
        }

        $(#[$of_composed])*
        pub(super) struct $composed {
            $(pub $part: $part_type,)*
        }

        impl $args {
            /// The values of `self`, and those of `lower` where `self` has none.
            pub(super) fn or(self, lower: $args) -> $args {
                $args { config: self.config.or(lower.config), $($name: self.$name.or(lower.$name),)* }
            }

            /// The defaults, which are written as a configuration file is.
            pub(super) fn defaults() -> $args {
                let file = concat!($($(stringify!($name), " = ", stringify!($default), "\n",)?)*);
                toml::from_str(file).expect("the defaults are a configuration file")
            }

            /// Refuses the first value that is out of its range.
            pub(super) fn check_ranges(&self) -> Result<(), String> {
                $($(self.$name.as_ref().map_or(Ok(()), |value| within(stringify!($name), value, $range))?;)?)*
                Ok(())
            }

            /// The settings, from values that include the defaults.
            pub(super) fn into_settings(self, composed: $composed) -> $settings {
                $settings {
                    $($($name: <$decided as Declared<$raw>>::decided(self.$name),)?)*
                    $($part: composed.$part,)*
                }
            }

            /// The declarations.
            pub(super) fn declared() -> Vec<Setting> {
                vec![$(Setting {
                    name: stringify!($name),
                    help: concat!($($help),+).trim_start(),
                    default: [$(concat!($default),)?].first().copied(),
                    without: [$($without,)?].first().copied(),
                    range: [$(range::<$raw>($range),)?].first().cloned(),
                    details: [$($details,)?].first().copied(),
                },)*]
            }
        }
    };
}
pub(super) use settings;

/// What is declared of one setting, as text.
pub(super) struct Setting {
    pub name: &'static str,
    pub help: &'static str,
    pub default: Option<&'static str>,
    /// What holds without a value, if there is no default.
    pub without: Option<&'static str>,
    pub range: Option<String>,
    pub details: Option<&'static str>,
}

/// The type of a field of `Settings` that is made from a value of the type `Raw`.
pub(super) trait Declared<Raw> {
    fn decided(value: Option<Raw>) -> Self;
}

impl<Raw: Into<T>, T> Declared<Raw> for Option<T> {
    fn decided(value: Option<Raw>) -> Option<T> {
        value.map(Into::into)
    }
}

impl Declared<Networks> for Vec<IpNet> {
    fn decided(value: Option<Networks>) -> Vec<IpNet> {
        value.map_or_else(Vec::new, |networks| networks.0)
    }
}

impl Declared<Origins> for Vec<String> {
    fn decided(value: Option<Origins>) -> Vec<String> {
        value.map_or_else(Vec::new, |origins| origins.0)
    }
}

macro_rules! with_default {
    ($($type:ty),*) => {$(
        impl<Raw: Into<$type>> Declared<Raw> for $type {
            fn decided(value: Option<Raw>) -> $type {
                value.expect("a setting that is not optional has a default").into()
            }
        }
    )*};
}
with_default!(bool, u32, u64, usize, f64, String, PathBuf, Duration, Fsync, ConsoleMode);

impl From<Period> for Duration {
    fn from(period: Period) -> Duration {
        period.0
    }
}

/// A value that has a range.
pub(super) trait Ranged {
    type Measure: PartialOrd + fmt::Display;

    fn measure(&self) -> Self::Measure;
}

macro_rules! ranged {
    ($($type:ty => $measure:ty: $measured:expr;)*) => {$(
        impl Ranged for $type {
            type Measure = $measure;

            fn measure(&self) -> $measure {
                $measured(*self)
            }
        }
    )*};
}
ranged! {
    u64 => u64: u64::from;
    f64 => f64: f64::from;
    NonZeroU32 => u64: |value: NonZeroU32| value.get().into();
    NonZeroU64 => u64: NonZeroU64::get;
    NonZeroUsize => u64: |value: NonZeroUsize| value.get() as u64;
    Period => Length: |value: Period| Length(value.0);
}

/// Refuses a value that is out of its range, with the range.
pub(super) fn within<R: Ranged>(
    name: &str,
    value: &R,
    range: RangeInclusive<R::Measure>,
) -> Result<(), String> {
    let measure = value.measure();
    if range.contains(&measure) {
        return Ok(());
    }
    let (min, max) = range.into_inner();
    Err(format!("{name} is {measure}, from {min} to {max} expected"))
}

/// A range as text. The largest number there is says nothing.
pub(super) fn range<R: Ranged>(range: RangeInclusive<R::Measure>) -> String {
    let (min, max) = (range.start().to_string(), range.end().to_string());
    if max == u64::MAX.to_string() { format!("{min} or more") } else { format!("{min} to {max}") }
}

/// A length of time, shown as settings have it.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Length(Duration);

const DAY_SECONDS: u64 = 24 * 60 * 60;
pub(super) const MILLISECOND: Length = Length(Duration::from_millis(1));
pub(super) const SECOND: Length = Length(Duration::from_secs(1));
pub(super) const DAY: Length = Length(Duration::from_secs(DAY_SECONDS));
pub(super) const CENTURY: Length = Length(Duration::from_secs(100 * 365 * DAY_SECONDS));

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Length(duration) = self;
        let (millis, days) = (duration.as_millis(), duration.as_secs() / DAY_SECONDS);
        match duration {
            _ if millis < 1000 => write!(f, "{millis}ms"),
            _ if days > 0 => write!(f, "{days}d"),
            _ => write!(f, "{}s", duration.as_secs()),
        }
    }
}
