// SPDX-License-Identifier: Apache-2.0

// Command gotar says what Go's archive/tar reads in archives: each comes on standard input as a length (8 bytes, big
// endian) and its bytes. A line of JSON answers each: its entries, and the error that ended the reading.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"strings"
)

type entry struct {
	Flag   int
	Name   string
	Link   string
	Mode   int64
	Uid    int
	Gid    int
	Size   int64
	Mtime  int64
	Nanos  int
	Major  int64
	Minor  int64
	Xattrs map[string]string
	Sum    string
}

type answer struct {
	Entries []entry
	Error   string
}

// Content beyond this is not hashed: holes cost an attacker nothing.
const most = 1 << 24

func read(data []byte) (found answer) {
	reader := tar.NewReader(bytes.NewReader(data))
	found.Entries = []entry{}
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			found.Error = err.Error()
			return
		}
		one := entry{
			int(header.Typeflag), hexed(header.Name), hexed(header.Linkname), header.Mode, header.Uid, header.Gid, header.Size,
			header.ModTime.Unix(), header.ModTime.Nanosecond(), header.Devmajor, header.Devminor, map[string]string{}, "",
		}
		for key, value := range header.PAXRecords {
			if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
				one.Xattrs[hexed(name)] = hexed(value)
			}
		}
		if header.Size <= most {
			hash := sha256.New()
			if _, err := io.Copy(hash, reader); err != nil {
				found.Error = err.Error()
				return
			}
			one.Sum = hex.EncodeToString(hash.Sum(nil))
		}
		found.Entries = append(found.Entries, one)
	}
}

func hexed(text string) string { return hex.EncodeToString([]byte(text)) }

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for {
		var size [8]byte
		if _, err := io.ReadFull(in, size[:]); err != nil {
			return
		}
		data := make([]byte, binary.BigEndian.Uint64(size[:]))
		if _, err := io.ReadFull(in, data); err != nil {
			panic(err)
		}
		if err := out.Encode(read(data)); err != nil {
			panic(err)
		}
	}
}
