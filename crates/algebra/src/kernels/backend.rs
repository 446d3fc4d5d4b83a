//! Which twin of the kernels runs: the portable one, or the one for AVX-512.

use std::ffi::{OsStr, OsString};
use std::sync::OnceLock;

/// The environment variable that chooses: unset (detect), `on` (insist on SIMD) or `off` (portable).
pub const SIMD_VARIABLE: &str = "LORICA_SIMD";

/// A twin of the kernels that this processor can run.
///
/// There is no way to name the AVX-512 twin without the processor having been asked, so a value of this type is
/// what makes the calls into it sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backend(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Portable,
    Avx512,
}

/// Why [`SIMD_VARIABLE`] could not be obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SimdError {
    /// A value with no meaning.
    #[error("{SIMD_VARIABLE} is {found:?}, expected `on` or `off`; unset it to detect the processor")]
    UnknownSetting {
        /// The value of the variable.
        found: OsString,
    },
    /// `on`, on a processor that lacks the instructions.
    #[error(
        "{SIMD_VARIABLE} is `on`, but this processor lacks AVX-512 F, DQ, BW, VL, IFMA or VNNI; \
         unset it, or set it to `off`, to use the portable kernels"
    )]
    Unsupported,
}

impl Backend {
    /// The portable twin, which runs everywhere.
    pub const PORTABLE: Self = Self(Kind::Portable);

    /// The AVX-512 twin, if this processor has the F, DQ, BW, VL, IFMA and VNNI extensions.
    pub fn avx512() -> Option<Self> {
        has_avx512().then_some(Self(Kind::Avx512))
    }

    /// Every twin that this processor runs, to compare them.
    pub fn available() -> impl Iterator<Item = Self> {
        [Self::PORTABLE].into_iter().chain(Self::avx512())
    }

    /// The best twin for this processor.
    pub fn detect() -> Self {
        Self::avx512().unwrap_or(Self::PORTABLE)
    }

    /// The twin that a value of [`SIMD_VARIABLE`] asks for; `None` stands for an unset variable.
    ///
    /// # Errors
    /// A value other than `on` and `off`, or `on` where the processor lacks the instructions.
    pub fn from_setting(setting: Option<&OsStr>) -> Result<Self, SimdError> {
        match setting.map(|value| value.to_str()) {
            None => Ok(Self::detect()),
            Some(Some("on")) => Self::avx512().ok_or(SimdError::Unsupported),
            Some(Some("off")) => Ok(Self::PORTABLE),
            Some(_) => Err(SimdError::UnknownSetting { found: setting.unwrap_or_default().to_os_string() }),
        }
    }

    /// The twin that the kernels of this process use.
    ///
    /// Follows [`simd`]; where that fails, which a program reports when it starts, the processor decides alone.
    pub fn active() -> Self {
        static ACTIVE: OnceLock<Backend> = OnceLock::new();
        *ACTIVE.get_or_init(|| simd().unwrap_or_else(|_| Self::detect()))
    }

    /// Whether this is the AVX-512 twin, and so whether the processor has the instructions named at
    /// [`Backend::avx512`].
    pub fn is_avx512(self) -> bool {
        self.0 == Kind::Avx512
    }

    /// `portable` or `avx512`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            Kind::Avx512 => "avx512",
        }
    }
}

/// The twin that the environment asks for. A program calls this once when it starts and reports the error.
///
/// # Errors
/// [`SIMD_VARIABLE`] holds a value other than `on` and `off`, or `on` where the processor lacks the instructions.
pub fn simd() -> Result<Backend, SimdError> {
    static SETTING: OnceLock<Result<Backend, SimdError>> = OnceLock::new();
    SETTING.get_or_init(|| Backend::from_setting(std::env::var_os(SIMD_VARIABLE).as_deref())).clone()
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512ifma")
        && is_x86_feature_detected!("avx512vnni")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_on_and_off_are_settings() {
        assert_eq!(Backend::from_setting(None), Ok(Backend::detect()));
        assert_eq!(Backend::from_setting(Some(OsStr::new("off"))), Ok(Backend::PORTABLE));
        assert_eq!(
            Backend::from_setting(Some(OsStr::new("on"))),
            Backend::avx512().ok_or(SimdError::Unsupported)
        );
        for value in ["", "On", "1", "avx2", "off "] {
            assert_eq!(
                Backend::from_setting(Some(OsStr::new(value))),
                Err(SimdError::UnknownSetting { found: value.into() })
            );
        }
    }
}
