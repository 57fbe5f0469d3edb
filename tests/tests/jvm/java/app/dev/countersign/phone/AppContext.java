package dev.countersign.phone;

import android.app.ApplicationPackageManager;
import android.app.KeyguardManager;
import android.content.ContentResolver;
import android.content.Context;
import android.content.ContextWrapper;
import android.content.IContentProvider;
import android.content.pm.ApplicationInfo;
import android.content.pm.InstallSourceInfo;
import android.content.pm.PackageInfo;
import android.content.pm.PackageManager;
import android.content.pm.Signature;
import android.content.pm.SigningDetails;
import android.content.pm.SigningInfo;
import java.io.File;

/** The context of an app on the virtual phone: Android's own classes, filled with made-up values. */
public final class AppContext extends ContextWrapper {
    public static final String PACKAGE = "com.example.app";
    public static volatile String installer = "com.android.vending";
    public static volatile boolean debuggable = false;
    /** What is wrong with the package manager, if anything is. */
    public static volatile String fault = "";

    private final File folder;

    public AppContext(String folder) {
        super(null);
        this.folder = new File(folder);
    }

    /** A switch of the system's settings. */
    public static void set(String name, int value) {
        android.provider.Settings.Global.VALUES.put(name, value);
    }

    @Override public Context getApplicationContext() { return this; }

    @Override public File getNoBackupFilesDir() { return folder; }

    @Override public String getPackageName() { return PACKAGE; }

    @Override public String getOpPackageName() { return PACKAGE; }

    @Override public PackageManager getPackageManager() { return fault.equals("no packages") ? null : new Packages(); }

    @Override public ContentResolver getContentResolver() { return new Resolver(this); }

    @Override public Object getSystemService(String name) {
        return name.equals("keyguard") ? new KeyguardManager() : null;
    }

    @Override public ApplicationInfo getApplicationInfo() {
        ApplicationInfo info = new ApplicationInfo();
        info.flags = debuggable ? ApplicationInfo.FLAG_DEBUGGABLE : 0;
        info.dataDir = "/data/user/0/" + PACKAGE;
        return info;
    }

    /** A resolver that resolves nothing. */
    private static final class Resolver extends ContentResolver {
        Resolver(Context context) {
            super(context);
        }

        @Override protected IContentProvider acquireProvider(Context context, String name) { return null; }

        @Override public boolean releaseProvider(IContentProvider provider) { return false; }

        @Override protected IContentProvider acquireUnstableProvider(Context context, String name) { return null; }

        @Override public boolean releaseUnstableProvider(IContentProvider provider) { return false; }

        @Override public void unstableProviderDied(IContentProvider provider) {}
    }

    /** Android's package manager without the process that it asks. */
    private static final class Packages extends ApplicationPackageManager {
        Packages() {
            super(null, null);
        }

        @Override public PackageInfo getPackageInfo(String name, int flags) throws NameNotFoundException {
            if (fault.equals("dead")) throw new RuntimeException(new android.os.DeadSystemException());
            if (!name.equals(PACKAGE)) throw new NameNotFoundException(name);
            PackageInfo info = new PackageInfo();
            info.packageName = name;
            info.versionName = fault.equals("long version") ? "1".repeat(100_000) : "1.2.3";
            if ((flags & PackageManager.GET_SIGNING_CERTIFICATES) != 0) {
                Signature[] signers = {new Signature("a certificate".getBytes())};
                info.signingInfo = new SigningInfo(new SigningDetails(signers, 3, null, null));
            }
            return info;
        }

        @Override public InstallSourceInfo getInstallSourceInfo(String name) {
            return new InstallSourceInfo(null, null, null, installer);
        }
    }
}
