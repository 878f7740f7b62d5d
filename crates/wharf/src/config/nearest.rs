//! "Did you mean".

/// The candidate that `written` most likely stands for, if any is near enough.
pub(super) fn nearest<'a>(written: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-'], "");
    let wanted = plain(written);
    if wanted.is_empty() || wanted.len() > 200 {
        return None;
    }
    let allowed = (wanted.chars().count() / 3).clamp(1, 4);
    candidates
        .filter_map(|candidate| {
            let have = plain(candidate);
            let distance = distance(&wanted, &have);
            let begins = wanted.len() >= 3 && have.starts_with(&wanted) || have.len() >= 4 && wanted.starts_with(&have);
            let rank = if distance <= allowed {
                distance
            } else if begins {
                allowed + 1
            } else {
                return None;
            };
            Some((rank, distance, candidate))
        })
        .min_by_key(|(rank, distance, _)| (*rank, *distance))
        .map(|(.., candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
    for (i, l) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, r) in right.iter().enumerate() {
            let replaced = at(&previous, j) + usize::from(l != r);
            let mut best = replaced.min(at(&previous, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && left.get(i - 1) == Some(r) && right.get(j - 1) == Some(l);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut previous, row);
    }
    at(&previous, right.len())
}
