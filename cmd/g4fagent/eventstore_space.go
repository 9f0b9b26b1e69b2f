package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/g4fagent/g4fagent/internal/esnode/storage"
)

// spaceFlag is a share of a disk, such as 5%, or a number of bytes, such as 2GiB;
// 0 turns the watch off.
type spaceFlag struct{ floor *storage.Floor }

var units = []struct {
	suffix string
	bytes  uint64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

func (s spaceFlag) Set(text string) error {
	text = strings.TrimSpace(text)
	if share, ok := strings.CutSuffix(text, "%"); ok {
		percent, err := strconv.ParseFloat(share, 64)
		if err != nil || percent < 0 || percent > 50 {
			return fmt.Errorf("%q is not a share between 0%% and 50%%", text)
		}
		*s.floor = storage.Floor{Share: percent / 100}
		if percent == 0 {
			*s.floor = storage.NoFloor
		}
		return nil
	}
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 64)
		if err != nil || n > 1<<60/u.bytes {
			break
		}
		*s.floor = storage.Floor{Bytes: n * u.bytes}
		if n == 0 {
			*s.floor = storage.NoFloor
		}
		return nil
	}
	return fmt.Errorf("%q is neither a share, such as 5%%, nor a size, such as 2GiB", text)
}

func (s spaceFlag) String() string {
	switch {
	case s.floor == nil || *s.floor == storage.Floor{}:
		return "5%"
	case *s.floor == storage.NoFloor:
		return "0"
	case s.floor.Bytes > 0:
		return strconv.FormatUint(s.floor.Bytes, 10)
	default:
		return strconv.FormatFloat(100*s.floor.Share, 'g', -1, 64) + "%"
	}
}

func (spaceFlag) Type() string { return "space" }

const spaceUsage = "space that appends leave free on the log's disk, as a share (at most 10 GiB) or a size such as 2GiB; below it they are refused, 0 never"
