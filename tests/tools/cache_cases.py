# tests/tools/cache_cases.py -- mhc-cache: what is stored is listed, shown, checked and cleared; damage is found.
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
