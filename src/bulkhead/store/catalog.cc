#include "bulkhead/store/catalog.h"

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/clock.h"
#include "bulkhead/base/digest.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/db/database.h"
#include "bulkhead/oci/manifest.h"
#include "bulkhead/oci/platform.h"
#include "bulkhead/store/image_record.h"

namespace bulkhead::store {
namespace {

constexpr std::array<std::string_view, 3> kMigrations = {R"sql(
  CREATE TABLE image(
    reference TEXT PRIMARY KEY,
    target_digest TEXT NOT NULL, target_media_type TEXT NOT NULL, target_size INTEGER NOT NULL,
    manifest TEXT NOT NULL, config TEXT NOT NULL, chain TEXT NOT NULL,
    os TEXT NOT NULL, architecture TEXT NOT NULL, variant TEXT NOT NULL,
    size INTEGER NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL) WITHOUT ROWID;
  CREATE INDEX image_config ON image(config);
  CREATE TABLE edge(
    parent TEXT NOT NULL, child TEXT NOT NULL, PRIMARY KEY(parent, child)) WITHOUT ROWID;
  CREATE TABLE root(chain TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE garbage(present INTEGER PRIMARY KEY) WITHOUT ROWID;
)sql",
                                                         R"sql(
  CREATE TABLE layer(
    diff_id TEXT NOT NULL, blob TEXT NOT NULL, chain TEXT NOT NULL,
    PRIMARY KEY(diff_id, blob, chain)) WITHOUT ROWID;
)sql",
                                                         R"sql(
  ALTER TABLE image ADD COLUMN artifact_type TEXT NOT NULL DEFAULT '';
)sql"};

constexpr std::string_view kColumns =
    "SELECT reference, target_digest, target_media_type, target_size, manifest, config, chain, "
    "os, architecture, variant, size, created, artifact_type FROM image ";

Result<ImageRecord> read_record(const db::Statement& row) {
  const auto digest = [&](int column) { return Digest::parse(row.text(column)); };
  auto target = digest(1);
  auto manifest = digest(4);
  auto config = digest(5);
  std::optional<Result<Digest>> chain;
  if (!row.text(6).empty()) {
    chain = digest(6);
  }
  if (!target || !manifest || !config || (chain && !*chain)) {
    return fail(ErrorCode::Corrupt, "image store: the record of {} holds a malformed digest",
                row.text(0));
  }
  return ImageRecord{
      .reference = row.text(0),
      .target = {.media_type = row.text(2),
                 .digest = *std::move(target),
                 .size = static_cast<std::uint64_t>(row.integer(3))},
      .manifest = *std::move(manifest),
      .config = *std::move(config),
      .chain = chain ? std::optional(**std::move(chain)) : std::nullopt,
      .platform = {.os = row.text(7), .architecture = row.text(8), .variant = row.text(9)},
      .size_bytes = static_cast<std::uint64_t>(row.integer(10)),
      .created = row.text(11),
      .artifact_type = row.text(12)};
}

Result<std::vector<ImageRecord>> read_records(db::Statement& statement) {
  std::vector<ImageRecord> records;
  while (BH_TRY(statement.step())) {
    records.push_back(BH_TRY(read_record(statement)));
  }
  return records;
}

Result<std::set<std::string>> read_texts(db::Statement statement) {
  std::set<std::string> texts;
  while (BH_TRY(statement.step())) {
    texts.insert(statement.text(0));
  }
  return texts;
}

Result<> mark_garbage(db::Database& database) {
  return database.execute("INSERT OR IGNORE INTO garbage VALUES(1)");
}

}  // namespace

Result<Catalog> Catalog::open(const std::string& path) {
  return Catalog(BH_TRY(db::Database::open(path, kMigrations)));
}

Result<Catalog> Catalog::open_existing(const std::string& path) {
  return Catalog(BH_TRY(db::Database::open_existing(path, kMigrations.size())));
}

Result<std::vector<ImageRecord>> Catalog::list() {
  db::Statement statement =
      BH_TRY(database_.prepare(std::string(kColumns) + "ORDER BY created DESC, reference"));
  return read_records(statement);
}

Result<std::optional<ImageRecord>> Catalog::by_reference(const std::string& reference) {
  db::Statement statement =
      BH_TRY(database_.prepare(std::string(kColumns) + "WHERE reference = ?1"));
  statement.bind(1, reference);
  if (!BH_TRY(statement.step())) {
    return std::nullopt;
  }
  return BH_TRY(read_record(statement));
}

Result<std::vector<ImageRecord>> Catalog::by_id_prefix(std::string_view hex) {
  // Hex digits only, so that a range says it: every text that begins with P is in [P, Pg).
  const std::string sha256 = "sha256:" + std::string(hex);
  const std::string sha512 = "sha512:" + std::string(hex);
  db::Statement statement =
      BH_TRY(database_.prepare(std::string(kColumns) +
                               "WHERE (config >= ?1 AND config < ?1 || 'g') OR "
                               "(config >= ?2 AND config < ?2 || 'g') ORDER BY reference"));
  statement.bind(1, sha256).bind(2, sha512);
  return read_records(statement);
}

Result<std::vector<ImageRecord>> Catalog::by_id(const Digest& config) {
  db::Statement statement =
      BH_TRY(database_.prepare(std::string(kColumns) + "WHERE config = ?1 ORDER BY reference"));
  statement.bind(1, config.text());
  return read_records(statement);
}

Result<std::optional<std::uint64_t>> Catalog::root_bytes(const Digest& chain) {
  db::Statement statement = BH_TRY(database_.prepare("SELECT size FROM root WHERE chain = ?1"));
  statement.bind(1, chain.text());
  if (!BH_TRY(statement.step())) {
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(statement.integer(0));
}

Result<std::optional<Digest>> Catalog::chain_with(const RootLayer& layer) {
  // A blob that is its own diff id is the tar itself.
  db::Statement statement = BH_TRY(database_.prepare(
      "SELECT chain FROM layer WHERE diff_id = ?1 AND (blob = ?2 OR ?1 = ?2) LIMIT 1"));
  statement.bind(1, layer.diff_id.text()).bind(2, layer.blob.text());
  if (!BH_TRY(statement.step())) {
    return std::nullopt;
  }
  return BH_TRY(Digest::parse(statement.text(0)));
}

Result<> Catalog::put(const ImageRecord& record, const std::vector<Edge>& edges,
                      const std::vector<RootLayer>& layers) {
  db::Transaction transaction = BH_TRY(db::Transaction::begin(database_));
  db::Statement edge =
      BH_TRY(database_.prepare("INSERT OR IGNORE INTO edge(parent, child) VALUES(?1, ?2)"));
  for (const Edge& one : edges) {
    edge.bind(1, one.parent.text());
    edge.bind(2, one.child.text());
    BH_TRY(edge.run());
  }
  const std::string chain = record.chain ? record.chain->text() : "";
  if (record.chain) {
    db::Statement root =
        BH_TRY(database_.prepare("INSERT OR REPLACE INTO root(chain, size) VALUES(?1, ?2)"));
    root.bind(1, chain);
    root.bind(2, static_cast<std::int64_t>(record.size_bytes));
    BH_TRY(root.run());
  }
  db::Statement layer = BH_TRY(
      database_.prepare("INSERT OR IGNORE INTO layer(diff_id, blob, chain) VALUES(?1, ?2, ?3)"));
  for (const RootLayer& one : layers) {
    layer.bind(1, one.diff_id.text()).bind(2, one.blob.text()).bind(3, chain);
    BH_TRY(layer.run());
  }
  const std::optional<ImageRecord> before = BH_TRY(by_reference(record.reference));
  if (before && before->target.digest != record.target.digest) {
    BH_TRY(mark_garbage(database_));
  }
  db::Statement image = BH_TRY(database_.prepare(
      "INSERT OR REPLACE INTO image(reference, target_digest, target_media_type, target_size, "
      "manifest, config, chain, os, architecture, variant, size, created, updated, artifact_type) "
      "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"));
  image.bind(1, record.reference)
      .bind(2, record.target.digest.text())
      .bind(3, record.target.media_type)
      .bind(4, static_cast<std::int64_t>(record.target.size))
      .bind(5, record.manifest.text())
      .bind(6, record.config.text())
      .bind(7, chain)
      .bind(8, record.platform.os)
      .bind(9, record.platform.architecture)
      .bind(10, record.platform.variant)
      .bind(11, static_cast<std::int64_t>(record.size_bytes))
      .bind(12, record.created)
      .bind(13, format_rfc3339(wall_now()))
      .bind(14, record.artifact_type);
  BH_TRY(image.run());
  return std::move(transaction).commit();
}

Result<> Catalog::remove(const std::vector<std::string>& references) {
  db::Transaction transaction = BH_TRY(db::Transaction::begin(database_));
  db::Statement statement = BH_TRY(database_.prepare("DELETE FROM image WHERE reference = ?1"));
  for (const std::string& reference : references) {
    statement.bind(1, reference);
    BH_TRY(statement.run());
  }
  BH_TRY(mark_garbage(database_));
  return std::move(transaction).commit();
}

Result<std::vector<ImageRecord>> Catalog::remove_unchanged(
    const std::vector<ImageRecord>& records) {
  db::Transaction transaction = BH_TRY(db::Transaction::begin(database_));
  db::Statement statement =
      BH_TRY(database_.prepare("DELETE FROM image WHERE reference = ?1 AND target_digest = ?2 AND "
                               "config = ?3"));
  std::vector<ImageRecord> removed;
  for (const ImageRecord& record : records) {
    statement.bind(1, record.reference)
        .bind(2, record.target.digest.text())
        .bind(3, record.config.text());
    BH_TRY(statement.run());
    if (database_.changes() > 0) {
      removed.push_back(record);
    }
  }
  BH_TRY(mark_garbage(database_));
  BH_TRY(std::move(transaction).commit());
  return removed;
}

Result<bool> Catalog::has_garbage() {
  db::Statement statement = BH_TRY(database_.prepare("SELECT 1 FROM garbage"));
  return statement.step();
}

Result<Catalog::Reachable> Catalog::reachable() {
  Reachable reachable;
  reachable.blobs = BH_TRY(read_texts(BH_TRY(
      database_.prepare("WITH RECURSIVE reached(digest) AS (SELECT target_digest FROM image UNION "
                        "SELECT manifest FROM image UNION SELECT config FROM image UNION "
                        "SELECT edge.child FROM edge JOIN reached ON edge.parent = reached.digest) "
                        "SELECT digest FROM reached"))));
  reachable.chains = BH_TRY(
      read_texts(BH_TRY(database_.prepare("SELECT DISTINCT chain FROM image WHERE chain <> ''"))));
  return reachable;
}

Result<Catalog::Reachable> Catalog::reachable(const ImageRecord& record) {
  db::Statement statement = BH_TRY(
      database_.prepare("WITH RECURSIVE reached(digest) AS (VALUES(?1), (?2), (?3) UNION "
                        "SELECT edge.child FROM edge JOIN reached ON edge.parent = reached.digest) "
                        "SELECT digest FROM reached"));
  statement.bind(1, record.target.digest.text())
      .bind(2, record.manifest.text())
      .bind(3, record.config.text());
  Reachable reachable;
  reachable.blobs = BH_TRY(read_texts(std::move(statement)));
  if (record.chain) {
    reachable.chains.insert(record.chain->text());
  }
  return reachable;
}

Result<std::optional<std::string>> Catalog::integrity() {
  db::Statement statement = BH_TRY(database_.prepare("PRAGMA integrity_check(1)"));
  if (BH_TRY(statement.step()) && statement.text(0) != "ok") {
    return statement.text(0);
  }
  return std::nullopt;
}

Result<> Catalog::forget_all_but(const Reachable& keep) {
  db::Transaction transaction = BH_TRY(db::Transaction::begin(database_));
  const std::set<std::string> parents =
      BH_TRY(read_texts(BH_TRY(database_.prepare("SELECT DISTINCT parent FROM edge"))));
  db::Statement edge = BH_TRY(database_.prepare("DELETE FROM edge WHERE parent = ?1"));
  for (const std::string& parent : parents) {
    if (!keep.blobs.contains(parent)) {
      edge.bind(1, parent);
      BH_TRY(edge.run());
    }
  }
  const std::set<std::string> chains =
      BH_TRY(read_texts(BH_TRY(database_.prepare("SELECT chain FROM root"))));
  db::Statement root = BH_TRY(database_.prepare("DELETE FROM root WHERE chain = ?1"));
  db::Statement layer = BH_TRY(database_.prepare("DELETE FROM layer WHERE chain = ?1"));
  for (const std::string& chain : chains) {
    if (!keep.chains.contains(chain)) {
      root.bind(1, chain);
      BH_TRY(root.run());
      layer.bind(1, chain);
      BH_TRY(layer.run());
    }
  }
  BH_TRY(database_.execute("DELETE FROM garbage"));
  return std::move(transaction).commit();
}

}  // namespace bulkhead::store
