# tests/tools/cache_cases.py -- mhc-cache: what is stored is listed, shown, checked and cleared; damage is found.
import json
import os
import shutil
import sqlite3

from support import ToolCase


class Cache(ToolCase):
    def setUp(self):
        super().setUp()
        self.cache = self.path("cache")

    def fill(self):
        """Two objects for gfx942 and one for gfx90a."""
        for op, target in (("post_fwd", "gfx942"), ("expand_fwd", "gfx942"), ("expand_fwd", "gfx90a")):
            self.good("mhc-show", "--op", op, "--hidden-dim", "64", "--target", target, "--cache-dir", self.cache)

    def tool(self, *args):
        return self.good("mhc-cache", *args, cache=self.cache)

    def json(self, *args):
        return self.good_json("mhc-cache", *args, cache=self.cache)

    def database(self):
        return self.json("info")["path"]

    def test_nothing_there_is_not_an_error(self):
        info = self.json("info")
        self.assertEqual((info["state"], info["objects"]), ("missing", 0))
        self.assertTrue(info["path"].startswith(self.cache))
        self.assertEqual(self.json("list"), {"objects": []})
        self.assertEqual(self.json("verify"), {"checked": 0, "damaged": []})
        self.assertEqual(self.json("clear", "--yes"), {"removed": 0})
        self.assertFalse(os.path.exists(self.cache), "looking made nothing")

    def test_info_list_and_show(self):
        self.fill()
        info = self.json("info")
        self.assertEqual((info["state"], info["objects"], info["failures"]), ("ok", 3, 0))
        self.assertIn("mhc-jitc", info["worker"])
        objects = self.json("list")["objects"]
        self.assertEqual(len(objects), 3)
        self.assertEqual(len(self.json("list", "--target", "gfx90a")["objects"]), 1)
        self.assertEqual(len(self.json("list", "--family", "expand")["objects"]), 2)
        self.assertEqual(len(self.json("list", "--family", "expand", "--target", "gfx942")["objects"]), 1)
        for one in objects:
            self.assertEqual((one["hidden_dim"], one["n_streams"], one["dtype"]), (64, 4, "bf16"))
            self.assertGreater(one["bytes"], 0)
            shown = self.json("show", one["key"][:12])
            self.assertEqual(shown, one)
            self.assertTrue(shown["key_fields"])
        for text in (self.tool("list"), self.tool("show", objects[0]["key"])):
            self.assertIn(objects[0]["key"][:12], text)
            self.assertIn("gfx9", text)
        self.assertIn("3", self.tool("info"))

    def test_flags_stand_before_or_after_the_command(self):
        self.fill()
        elsewhere = ["--cache-dir", self.cache]
        before = self.good("mhc-cache", "--json", *elsewhere, "list")
        self.assertEqual(before, self.good("mhc-cache", "list", "--json", *elsewhere))
        self.assertIn("gfx90a", before)

    def test_show_extracts_the_code_object(self):
        self.fill()
        for one in self.json("list")["objects"]:
            self.tool("show", one["key"], "--extract", self.path("object.co"))
            with open(self.path("object.co"), "rb") as file:
                code = file.read()
            self.assertEqual((code[:4], len(code)), (b"\x7fELF", one["bytes"]))

    def test_another_database(self):
        self.fill()
        copy = self.path("copy.db")
        sqlite3.connect(self.database()).execute("VACUUM INTO ?", (copy,)).connection.close()
        os.chmod(copy, 0o444)
        self.assertEqual(len(self.good_json("mhc-cache", "list", "--database", copy)["objects"]), 3)
        self.assertEqual(self.good_json("mhc-cache", "verify", "--database", copy), {"checked": 3, "damaged": []})

    def test_verify_finds_damage(self):
        self.fill()
        self.assertEqual(self.json("verify"), {"checked": 3, "damaged": []})
        with sqlite3.connect(self.database()) as database:
            sha, data = database.execute("SELECT sha256, data FROM code_blob LIMIT 1").fetchone()
            flipped = bytes([data[0]]) + bytes([data[1] ^ 1]) + data[2:]
            database.execute("UPDATE code_blob SET data = ? WHERE sha256 = ?", (flipped, sha))
        database.close()
        key = next(o["key"] for o in self.json("list")["objects"])
        done = self.run_tool("mhc-cache", "verify", cache=self.cache)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("1 damaged", done.stdout)
        self.assertEqual(len(key), 64)

    def test_a_database_damaged_as_a_whole(self):
        self.fill()
        path = self.database()
        for damage in ("truncated", "garbage"):
            broken = self.path(f"{damage}.db")
            shutil.copy(path, broken)
            with open(broken, "r+b") as file:
                if damage == "truncated":
                    file.truncate(os.path.getsize(path) // 2)
                else:
                    file.write(os.urandom(4096))
            for command in ("list", "verify"):
                done = self.run_tool("mhc-cache", command, "--database", broken)
                self.assertIn(done.returncode, (1, 2), (damage, command, done.stdout))
                self.assertLessEqual(done.stderr.count("\n"), 1, done.stderr)
                self.assertTrue(done.stderr or "damaged" in done.stdout)

    def test_a_damaged_user_database_costs_a_compilation_not_a_failure(self):
        h = self.save("h", self.normal(2, 8))
        call = ["mhc-eval", "expand_fwd", "--target", "host", "--in", h, "--set", "n_streams=2", "--out-dir", self.path("out"),
                "--cache-dir", self.cache, "--json"]
        self.good(*call)
        with open(self.database(), "r+b") as file:
            file.write(b"damage" * 100)
        self.assertIn('"compiled"', self.good(*call))
        self.assertIn('"user"', self.good(*call))

    def test_clear(self):
        self.fill()
        self.bad(2, "--yes", "mhc-cache", "clear", cache=self.cache)
        self.assertEqual(self.json("info")["objects"], 3)
        self.assertIn("3 object(s) removed", self.tool("clear", "--yes"))
        self.assertEqual(self.json("list"), {"objects": []})
        self.assertIn("no objects", self.tool("list"))

    def test_clear_asks_on_a_terminal(self):
        self.fill()
        code, output, screen = self.on_terminal("n\n", "mhc-cache", "clear", cache=self.cache)
        self.assertEqual((code, output), (1, ""))
        self.assertIn("Remove 3 object(s)", screen)
        self.assertIn("nothing was removed", screen)
        self.assertEqual(self.json("info")["objects"], 3)
        code, output, _ = self.on_terminal("y\n", "mhc-cache", "clear", cache=self.cache)
        self.assertEqual((code, output), (0, "3 object(s) removed\n"))
        self.assertEqual(self.json("info")["objects"], 0)

    def test_host_objects_are_found_by_the_word_host(self):
        self.good("mhc-show", "--op", "expand_fwd", "--hidden-dim", "64", "--target", "host", "--cache-dir", self.cache)
        self.fill()
        self.assertEqual(len(self.json("list", "--target", "host")["objects"]), 1)

    def test_a_key_may_be_given_in_upper_case(self):
        self.fill()
        key = self.json("list")["objects"][0]["key"]
        self.assertEqual(self.json("show", key[:12].upper())["key"], key)

    def test_doctor_looks_and_makes_nothing(self):
        found = self.json("doctor")["findings"]
        self.assertFalse(os.path.exists(self.cache))
        self.assertEqual({each["state"] for each in found}, {"good"})
        self.assertTrue({"folder", "user database", "worker", "jobs"} <= {each["what"] for each in found})
        self.fill()
        self.assertIn("3 objects, 0 damaged", self.tool("doctor"))

    def test_doctor_says_what_is_wrong(self):
        self.fill()
        os.chmod(self.cache, 0o777)
        done = self.run_tool("mhc-cache", "doctor", "--json", cache=self.cache)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("chmod go-w", done.stdout)
        os.chmod(self.cache, 0o700)
        done = self.run_tool("mhc-cache", "doctor", cache=self.cache, env={"MHC_JIT_WORKER": "/nowhere/mhc-jitc"})
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("/nowhere/mhc-jitc", done.stdout)

    def test_stats_are_sums_of_the_list(self):
        self.assertEqual(self.json("stats")["objects"], 0)
        self.fill()
        objects, stats = self.json("list")["objects"], self.json("stats")
        for name in ("bytes", "uses", "compile_ms"):
            self.assertEqual(stats[name], sum(one[name] for one in objects), name)
        self.assertEqual({each["target"]: each["objects"] for each in stats["by_target_and_compiler"]},
                         {"gfx942": 2, "gfx90a": 1})
        self.assertIn("gfx90a", self.tool("stats"))
        self.assertEqual((stats["failures"], stats["events"]["last"]), (0, []))
        self.assertIn("no events", self.tool("stats"))

    def test_stats_tell_what_happened(self):
        self.fill()
        with sqlite3.connect(self.database()) as database:
            database.execute("UPDATE code_object SET key_json = '{}' WHERE arch = 'gfx90a'")
        database.close()
        self.good("mhc-show", "--op", "expand_fwd", "--hidden-dim", "64", "--target", "gfx90a", "--cache-dir", self.cache)
        events = self.json("stats")["events"]
        self.assertEqual(events["counts"], {"quarantine": 0, "collision_or_tamper": 1, "evict": 0, "corrupt": 0})
        self.assertEqual([each["kind"] for each in events["last"]], ["collision_or_tamper"])
        self.assertIn("1 event(s)", self.tool("stats"))
        with open(self.database(), "r+b") as file:
            file.write(b"damage" * 100)
        self.fill()
        events = self.json("stats")["events"]
        self.assertEqual(events["counts"]["corrupt"], 1)
        self.assertIn("mhc_user.db.corrupt-", events["last"][0]["detail"])
        for word in self.json("stats"):
            self.assertIn(word.split(".")[0], self.tool("stats", "--help"))

    def test_prune(self):
        nothing = {"stale": 0, "unused": 0, "over": 0}
        self.assertEqual(self.json("prune"), {**nothing, "objects": 0, "object_bytes": 0})
        self.fill()
        kept = self.json("prune")
        self.assertEqual((kept["stale"], kept["unused"], kept["over"], kept["objects"]), (0, 0, 0, 3))
        with sqlite3.connect(self.database()) as database:
            database.execute("UPDATE code_object SET last_used = last_used - 40 * 86400 WHERE arch = 'gfx90a'")
        database.close()
        self.assertEqual(self.json("prune")["objects"], 3, "its compiler is here")
        self.assertEqual(self.json("prune", "--unused-days", "39")["unused"], 1)
        self.assertEqual({one["target"] for one in self.json("list")["objects"]}, {"gfx942"})
        with sqlite3.connect(self.database()) as database:
            database.execute("DELETE FROM toolchain_file")
        database.close()
        self.assertEqual(self.json("prune")["stale"], 0, "used within 30 days")
        self.assertEqual(self.json("prune", "--stale-days", "0")["stale"], 2)

    def test_prune_to_a_size_takes_the_least_recently_used_and_no_pinned_one(self):
        self.fill()
        with sqlite3.connect(self.database()) as database:
            database.execute("UPDATE code_object SET last_used = 1, pinned = 1 WHERE arch = 'gfx90a'")
        database.close()
        pruned = self.json("prune", "--max-mb", "0", "--stale-days", "0")
        self.assertEqual((pruned["over"], pruned["objects"]), (2, 1))
        self.assertEqual([one["target"] for one in self.json("list")["objects"]], ["gfx90a"])
        self.bad(2, "-1", "mhc-cache", "prune", "--max-mb", "-1", cache=self.cache)

    def test_export_and_import(self):
        self.fill()
        for name in ("one.db", "two.db"):
            self.assertEqual(self.json("export", self.path(name)), {"exported": 3, "present": 0, "refused": []})
        with open(self.path("one.db"), "rb") as one, open(self.path("two.db"), "rb") as two:
            self.assertEqual(one.read(), two.read(), "equal objects, equal bytes")
        other = self.path("other")
        call = ["mhc-cache", "import", self.path("one.db"), "--json"]
        self.assertEqual(self.good_json(*call[:-1], cache=other), {"imported": 3, "present": 0, "refused": []})
        self.assertEqual(self.good_json(*call[:-1], cache=other), {"imported": 0, "present": 3, "refused": []})
        self.assertEqual(self.good_json("mhc-cache", "verify", cache=other), {"checked": 3, "damaged": []})
        shown = self.good_json("mhc-show", "--op", "post_fwd", "--hidden-dim", "64", "--target", "gfx942", "--strict",
                               cache=other)
        self.assertTrue(shown["launches"], "what was imported is found, and nothing is compiled")

    def test_import_refuses_what_it_cannot_check(self):
        self.fill()
        file = self.path("kernels.db")
        self.tool("export", file)
        os.chmod(file, 0o644)
        with sqlite3.connect(file) as database:
            rows = database.execute("SELECT key, symbol FROM code_object ORDER BY key").fetchall()
            database.execute("UPDATE code_object SET symbol = ? WHERE key = ?", (rows[0][1], rows[1][0]))
            database.execute("UPDATE code_object SET key_json = '{}' WHERE key = ?", (rows[2][0],))
        database.close()
        other = self.path("other")
        done = self.run_tool("mhc-cache", "import", file, cache=other)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("1 object(s) imported, 2 refused", done.stdout)
        self.assertIn("its symbol is another kernel's", done.stdout)
        self.assertIn("its key is not the hash of its clear text", done.stdout)

        os.chmod(file, 0o666)
        self.bad(2, "chmod go-w", "mhc-cache", "import", file, cache=self.path("third"))
        done = self.run_tool("mhc-cache", "import", file, "--trust", cache=self.path("third"))
        self.assertIn("1 object(s) imported, 2 refused", done.stdout, "--trust is about the file, not about its rows")
        self.bad(2, "absent.db", "mhc-cache", "import", self.path("absent.db"), cache=other)
        self.bad(2, "absent.db", "mhc-cache", "import", self.path("absent.db"), "--trust", cache=other)
        self.bad(2, "garbage", "mhc-cache", "import", self.write("garbage", "text"), cache=other)

    def test_why_miss_names_the_field(self):
        why = ["why-miss", "--op", "expand_fwd", "--target", "gfx942"]

        def ask(*more):
            done = self.run_tool("mhc-cache", *why, *more, "--json", cache=self.cache)
            self.assertIn(done.returncode, (0, 1), done.stderr)
            kernels = json.loads(done.stdout)["kernels"]
            self.assertEqual(done.returncode, 0 if all(one["stored"] for one in kernels) else 1)
            return kernels[0]

        empty = ask("--hidden-dim", "64")
        self.assertEqual((empty["stored"], empty["nearest_key"], empty["differences"]), (False, "", []))
        self.fill()
        self.assertTrue(ask("--hidden-dim", "64")["stored"])
        miss = ask("--hidden-dim", "80")
        self.assertFalse(miss["stored"])
        self.assertIn(miss["nearest_key"], [one["key"] for one in self.json("list", "--family", "expand")["objects"]])
        self.assertIn({"field": "plan.hidden_dim", "wanted": "80", "stored": "64"}, miss["differences"])
        self.bad(2, "--hidden-dim", "mhc-cache", *why, cache=self.cache)
        self.bad(2, "no_such_op", "mhc-cache", "why-miss", "--op", "no_such_op", "--target", "gfx942", cache=self.cache)
