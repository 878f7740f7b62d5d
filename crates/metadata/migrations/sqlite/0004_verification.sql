-- blobs whose bytes were found missing or damaged, and not whole since
create table damaged_blobs (
    sha256 blob primary key,
    damage integer not null,                -- 0 missing, 1 other bytes, 2 another size
    detail text not null,
    found_at integer not null
) without rowid;
