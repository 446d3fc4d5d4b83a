//! The product proof: three commitments, each to one slot alone, hold values with `alpha * beta = gamma`.
//!
//! Notation: `C_a = alpha s_a + . h`, `C_b = beta s_b + . h`, `C_c = gamma s_c + . h`. The prover sends
//! `T_a = x_a s_a`, `T_b = x_b s_b`, `T_0 = x_a x_b s_c`, `T_1 = (x_a beta + x_b alpha) s_c`, all blinded; the verifier
//! draws e; the prover answers `f_a = x_a + e alpha`, `f_b = x_b + e beta` and three blinds. The checks are
//!
//! 1. `f_a s_a + tau_a h = T_a + e C_a`
//! 2. `f_b s_b + tau_b h = T_b + e C_b`
//! 3. `f_a f_b s_c + tau_c h = T_0 + e T_1 + e^2 C_c`
//!
//! They stay three: merged into one, `T_1` could carry components on `s_a` or `s_b` and the proof would be unsound.
//! Each is also what shows that its commitment touches no other base.

use lorica_algebra::point::{self, EncodedPoint};
use lorica_algebra::{Point, Scalar};

use crate::codec::{CodecError, Reader, Writer};
use crate::transcript::{Label, Transcript};

const FIRST_MESSAGE: Label = Label("product: T_a T_b T_0 T_1");
const CHALLENGE: Label = Label("product: e");
const RESPONSE: Label = Label("product: response");

/// The prover's first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductMasks {
    /// `x_a s_a`, blinded.
    pub t_a: EncodedPoint,
    /// `x_b s_b`, blinded.
    pub t_b: EncodedPoint,
    /// `x_a x_b s_c`, blinded.
    pub t_0: EncodedPoint,
    /// `(x_a beta + x_b alpha) s_c`, blinded.
    pub t_1: EncodedPoint,
}

/// The prover's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductResponse {
    /// `x_a + e alpha`
    pub f_a: Scalar,
    /// `x_b + e beta`
    pub f_b: Scalar,
    /// Blind of equation 1.
    pub tau_a: Scalar,
    /// Blind of equation 2.
    pub tau_b: Scalar,
    /// Blind of equation 3.
    pub tau_c: Scalar,
}

/// A product proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductProof {
    /// First message.
    pub masks: ProductMasks,
    /// Answer.
    pub response: ProductResponse,
}

/// The three bases of the slots, and the blinding base.
#[derive(Debug, Clone, Copy)]
pub struct ProductBases {
    /// `s_a`
    pub a: Point,
    /// `s_b`
    pub b: Point,
    /// `s_c`
    pub c: Point,
    /// `h`
    pub blinding: Point,
}

/// The three commitments.
#[derive(Debug, Clone, Copy)]
pub struct ProductCommitments {
    /// `C_a`
    pub a: Point,
    /// `C_b`
    pub b: Point,
    /// `C_c`
    pub c: Point,
}

/// Which equation of the product proof fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("equation {equation} of the product proof does not hold")]
pub struct ProductError {
    /// 1, 2 or 3.
    pub equation: u8,
}

/// Takes in the first message and draws e: the one order both sides use.
pub fn challenge(transcript: &mut dyn Transcript, masks: &ProductMasks) -> Scalar {
    for point in [&masks.t_a, &masks.t_b, &masks.t_0, &masks.t_1] {
        transcript.absorb(FIRST_MESSAGE, point.bytes());
    }
    transcript.challenge(CHALLENGE)
}

/// Takes in the answer.
pub fn absorb_response(transcript: &mut dyn Transcript, response: &ProductResponse) {
    let mut writer = Writer::new();
    response.write(&mut writer);
    transcript.absorb(RESPONSE, &writer.finish());
}

impl ProductProof {
    /// Checks the three equations and leaves the transcript behind the answer.
    pub fn verify(
        &self,
        bases: &ProductBases,
        commitments: &ProductCommitments,
        transcript: &mut dyn Transcript,
    ) -> Result<(), ProductError> {
        let e = challenge(transcript, &self.masks);
        absorb_response(transcript, &self.response);
        let one = Scalar::from(1u8);
        let ProductResponse { f_a, f_b, tau_a, tau_b, tau_c } = self.response;
        let masks = &self.masks;
        let equations = [
            (
                point::multiscalar(
                    &[f_a, tau_a, -one, -e],
                    &[bases.a, bases.blinding, *masks.t_a.point(), commitments.a],
                ),
                1,
            ),
            (
                point::multiscalar(
                    &[f_b, tau_b, -one, -e],
                    &[bases.b, bases.blinding, *masks.t_b.point(), commitments.b],
                ),
                2,
            ),
            (
                point::multiscalar(
                    &[f_a * f_b, tau_c, -one, -e, -(e * e)],
                    &[bases.c, bases.blinding, *masks.t_0.point(), *masks.t_1.point(), commitments.c],
                ),
                3,
            ),
        ];
        match equations.into_iter().find(|(sum, _)| *sum != point::identity()) {
            None => Ok(()),
            Some((_, equation)) => Err(ProductError { equation }),
        }
    }

    /// Reads a proof.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            masks: ProductMasks {
                t_a: reader.point("product T_a")?,
                t_b: reader.point("product T_b")?,
                t_0: reader.point("product T_0")?,
                t_1: reader.point("product T_1")?,
            },
            response: ProductResponse {
                f_a: reader.scalar("product f_a")?,
                f_b: reader.scalar("product f_b")?,
                tau_a: reader.scalar("product tau_a")?,
                tau_b: reader.scalar("product tau_b")?,
                tau_c: reader.scalar("product tau_c")?,
            },
        })
    }

    /// Writes the proof: 288 bytes.
    pub fn write(&self, writer: &mut Writer) {
        for point in [&self.masks.t_a, &self.masks.t_b, &self.masks.t_0, &self.masks.t_1] {
            writer.point(point);
        }
        self.response.write(writer);
    }
}

impl ProductResponse {
    fn write(&self, writer: &mut Writer) {
        for scalar in [&self.f_a, &self.f_b, &self.tau_a, &self.tau_b, &self.tau_c] {
            writer.scalar(scalar);
        }
    }
}
