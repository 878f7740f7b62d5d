-- blobs whose bytes were found missing or damaged, and not whole since
create table damaged_blobs (
    sha256 varbinary(65) primary key,
    damage bigint not null,                 -- 0 missing, 1 other bytes, 2 another size
    detail text character set utf8mb4 collate utf8mb4_bin not null,
    found_at bigint not null
) engine = InnoDB;
