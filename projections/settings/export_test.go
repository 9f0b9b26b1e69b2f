package settings

// CursorOf is cursorOf, for tests.
var CursorOf = cursorOf
