//! Spelling statements as the engines want them.

use super::numbered;

#[test]
fn places_are_numbered_except_in_quoted_texts() {
    assert_eq!(
        numbered("select a from b where c = ? and d <> 'really?' and e in (?, ?)"),
        "select a from b where c = $1 and d <> 'really?' and e in ($2, $3)"
    );
    assert_eq!(
        numbered("select 'it''s ?' where a = ?"),
        "select 'it''s ?' where a = $1"
    );
    assert_eq!(numbered("select 1"), "select 1");
}
