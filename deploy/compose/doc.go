// Package compose holds the containers of Nightshard: the images, the compose
// file and the settings. Its test brings all of it up with a real engine.
package compose
