//! What client and server say to each other, so that each sees whether it was understood.

/// A number that no other visit has.
pub(crate) const REQUEST: usize = 8;
/// About the head of a small page.
pub(crate) const ANSWER: usize = 512;

/// The number again, whether the server resumed, and bytes that follow from the number.
pub(crate) fn answer(request: [u8; REQUEST], resumed: bool) -> [u8; ANSWER] {
    let number = u64::from_le_bytes(request);
    let mut answer = [0; ANSWER];
    for (i, word) in answer.as_chunks_mut().0.iter_mut().enumerate() {
        *word = number.wrapping_mul(i as u64 + 1).to_le_bytes();
    }
    answer[ANSWER - 1] = resumed.into();
    answer
}
