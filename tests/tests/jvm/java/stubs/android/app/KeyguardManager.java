package android.app;

/** Android asks another process how the screen is locked. */
public class KeyguardManager {
    public boolean isDeviceSecure() { return true; }
}
