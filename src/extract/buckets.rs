//! Batches of texts of about the same length.

/// Groups texts so that little is padded: sorted by length, longest first, then cut into batches of at most `budget()` tokens
/// with the padding (a longer text is a batch of its own) and at most `rows` texts. Each batch asks for its budget anew.
/// Returns the batches as indices into `lengths`, each with the budget it was cut by.
pub(super) fn buckets(lengths: &[usize], rows: usize, mut budget: impl FnMut() -> usize) -> Vec<(usize, Vec<usize>)> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    // Longest first: the largest tensors are allocated once, and what is left at the end is cheap.
    order.sort_by_key(|&i| (std::cmp::Reverse(lengths[i]), i));
    let mut batches = Vec::new();
    let mut rest = &order[..];
    while let Some(&longest) = rest.first() {
        let budget = budget();
        let fitting = (budget / lengths[longest].max(1)).clamp(1, rows.max(1)).min(rest.len());
        let (batch, after) = rest.split_at(fitting);
        batches.push((budget, batch.to_vec()));
        rest = after;
    }
    batches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_is_in_one_batch_and_budgets_hold(
            lengths in proptest::collection::vec(1_usize..300, 0..200),
            rows in 1_usize..40,
            budget in 1_usize..2000,
        ) {
            let batches = buckets(&lengths, rows, || budget);
            let mut all: Vec<usize> = batches.iter().flat_map(|b| b.1.iter().copied()).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..lengths.len()).collect::<Vec<_>>());
            for (_, batch) in &batches {
                let longest = batch.iter().map(|&i| lengths[i]).max().unwrap();
                prop_assert!(batch.len() <= rows);
                prop_assert!(batch.len() == 1 || batch.len() * longest <= budget);
            }
        }
    }

    #[test]
    fn equal_lengths_come_together() {
        let batches = buckets(&[3, 9, 3, 9, 3], 64, || 18);
        assert_eq!(batches, [(18, vec![1, 3]), (18, vec![0, 2, 4])]);
    }
}
