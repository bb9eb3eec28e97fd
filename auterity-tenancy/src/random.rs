//! The crate's one source of random bits: the generator of aws-lc, which the
//! operating system seeds.

use auterity_core::clock::Entropy;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// Random bytes fit for keys and tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SecureRandom;

impl Entropy for SecureRandom {
    fn fill(&self, buffer: &mut [u8]) {
        aws_lc_rs::rand::fill(buffer).expect("aws-lc ends the process when it cannot be seeded");
    }
}

/// Makes an array of random bytes that is wiped when dropped.
pub(crate) fn bytes<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut buffer = Zeroizing::new([0_u8; N]);
    SecureRandom.fill(buffer.as_mut_slice());
    buffer
}

/// Makes a text of `N` random bytes in URL-safe base 64.
pub(crate) fn text<const N: usize>() -> Zeroizing<String> {
    Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes::<N>().as_slice()))
}
